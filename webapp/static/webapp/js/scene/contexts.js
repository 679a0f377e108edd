// Browsers allow about sixteen WebGL contexts and silently drop the oldest. We hold few, and give back those out of sight.

const MOST = 4;
const PATIENCE = 20_000; // ms out of sight before a picture stands in for the scene
const holders = new Set();

/** `holder`: {isSeen, seenAt, release()}. Call before making a context; the longest unseen holders give theirs back. */
export function admit(holder) {
  const others = [...holders].filter((other) => other !== holder).sort((a, b) => a.isSeen - b.isSeen || a.seenAt - b.seenAt);
  for (const other of others.slice(0, Math.max(0, others.length + 1 - MOST))) other.release();
  holders.add(holder);
}

export const forget = (holder) => holders.delete(holder);

setInterval(() => {
  for (const holder of [...holders]) if (!holder.isSeen && performance.now() - holder.seenAt > PATIENCE) holder.release();
}, 5000);

let supported;
export function hasWebGL2() {
  if (supported === undefined) {
    const context = document.createElement("canvas").getContext("webgl2");
    supported = Boolean(context);
    context?.getExtension("WEBGL_lose_context")?.loseContext();
  }
  return supported;
}
