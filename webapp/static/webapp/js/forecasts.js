// Forecasts are computed on demand: each run's are asked for once, a few at a time.

const AT_ONCE = 3;

/** Fill `into` (code -> forecast) for all runs; `onEach` is called as they come. A run without one gets null. */
export async function loadForecasts(runs, into, onEach) {
  await loadEach(runs.filter((run) => !into.has(run.code)), "forecast", (run, data) => {
    into.set(run.code, data?.forecast || data?.law ? data : null);
    onEach();
  });
}

export async function loadEach(runs, name, onData) {
  const waiting = [...runs];
  const next = async () => {
    for (let run = waiting.shift(); run; run = waiting.shift()) {
      if (!run.data) { onData(run, null); continue; } // of a frozen copy
      try {
        const answer = await fetch(run.data.replace("NAME", name));
        onData(run, answer.ok ? await answer.json() : null);
      } catch { onData(run, null); }
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, next));
}
