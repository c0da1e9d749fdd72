// `ringwheel doctor`: which driver runs here, with what, and what would help.
import type { Diagnosis } from '../api/doctor.js';

/** Prints the diagnosis, as text or as JSON. Finding something to mend is not a failure. */
export async function doctor(json: boolean): Promise<void> {
  const api = await import('../api/doctor.js');
  const diagnosis = api.doctor();
  process.stdout.write(json ? `${JSON.stringify(diagnosis, undefined, 2)}\n` : text(diagnosis));
}

function text(diagnosis: Diagnosis): string {
  const lines = [`driver           ${diagnosis.driver}`, `features         ${diagnosis.features.join(', ') || 'none'}`];
  for (const [name, value] of Object.entries(diagnosis.limits)) lines.push(`${name.padEnd(16)} ${value}`);
  for (const { problem, remedy } of diagnosis.findings) lines.push('', problem, `  → ${remedy}`);
  if (diagnosis.findings.length === 0) lines.push('', 'Nothing to mend.');
  return `${lines.join('\n')}\n`;
}
