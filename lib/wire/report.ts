// Node's report on this process without its network part, which asks for the name of every open socket's peer and waits for it.

/** The fields of the report that are of use here. */
export interface SystemReport {
  header?: { glibcVersionRuntime?: string };
  userLimits?: Record<string, { soft: number | 'unlimited' }>;
}

/** Takes a report; some milliseconds. */
export function systemReport(): SystemReport {
  const { report } = process as { report?: NodeJS.ProcessReport & { excludeNetwork?: boolean } };
  if (report === undefined) return {};
  const before = report.excludeNetwork ?? false;
  report.excludeNetwork = true;
  try {
    return report.getReport() as SystemReport;
  } finally {
    report.excludeNetwork = before;
  }
}
