// Numbers as people read them.

const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });

/** A count or a rate: all digits up to 9999, then three with a prefix. */
export function number(value: number | null | undefined): string {
  if (value === null || value === undefined) return '–';
  if (value < 10 && !Number.isInteger(value)) return value.toFixed(1);
  return value < 10_000 ? whole.format(value) : prefixed(value, 1000, ['', 'k', 'M', 'G', 'T']);
}

/** Bytes. */
export function bytes(value: number | null | undefined): string {
  return value === null || value === undefined ? '–' : prefixed(value, 1024, [' B', ' KiB', ' MiB', ' GiB', ' TiB']);
}

/** Microseconds. */
export function time(us: number | undefined): string {
  if (us === undefined) return '–';
  if (us === Number.POSITIVE_INFINITY) return '> 10 s';
  return us < 1000 ? `${us} µs` : us < 1e6 ? `${us / 1000} ms` : `${us / 1e6} s`;
}

/** A share of one. */
export function percent(value: number | null): string {
  return value === null ? '–' : `${(value * 100).toFixed(value < 0.0995 ? 1 : 0)} %`;
}

/** How long something has been: two units. */
export function duration(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  const [days, hours, minutes] = [
    Math.floor(seconds / 86_400),
    Math.floor(seconds / 3600) % 24,
    Math.floor(seconds / 60) % 60,
  ];
  if (days > 0) return `${days} d ${hours} h`;
  return hours > 0 ? `${hours} h ${minutes} min` : minutes > 0 ? `${minutes} min ${seconds % 60} s` : `${seconds} s`;
}

function prefixed(value: number, base: number, units: readonly string[]): string {
  const power = value < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log(value) / Math.log(base)));
  const scaled = value / base ** power;
  return `${power === 0 ? whole.format(scaled) : scaled.toPrecision(scaled < 1000 ? 3 : 4)}${units[power]}`;
}
