// Reading a scene's manifest and volumes. What comes is checked here, once: a wrong file ends in a sentence, not in a black box.

export class SceneError extends Error {}

/** Nothing to draw yet, and nothing wrong: the scene is still being made. */
export class NotYet extends Error {}

const LARGEST = 512; // voxels a side
const isVector = (value) => Array.isArray(value) && value.length === 3 && value.every(Number.isFinite);

export async function readManifest(url, signal) {
  let raw;
  try {
    const answer = await fetch(url, { signal, headers: { Accept: "application/json" } });
    if (answer.status === 404) throw new NotYet("There is nothing to see here yet.");
    if (!answer.ok) throw new SceneError(`The scene could not be read (${answer.status}).`);
    raw = await answer.json();
  } catch (error) {
    if (error.name === "AbortError" || error instanceof SceneError || error instanceof NotYet) throw error;
    throw new SceneError("The scene could not be read. Check the connection and try again.");
  }
  return checkedManifest(raw, new URL(url, document.baseURI));
}

function checkedManifest(raw, base) {
  if (raw?.version !== 1) throw new SceneError("This scene was written by another version of Canopy.");
  const { grid } = raw;
  if (!isVector(grid) || !grid.every((side) => Number.isInteger(side) && side > 0 && side <= LARGEST)) throw new SceneError("The scene's grid is not three sides of 1 to 512 voxels.");
  const link = (value) => (typeof value === "string" && value ? new URL(value, base).href : null);
  const list = (value) => (Array.isArray(value) ? value : []);
  return {
    name: String(raw.name ?? "Scene"), grid, voxelMetres: Number(raw.voxel_metres) || null, volume: link(raw.volume), poster: link(raw.poster),
    sky: isVector(raw.sky) ? raw.sky.map((part) => part / 255) : [0.42, 0.5, 0.6],
    cameras: list(raw.cameras).filter((camera) => isVector(camera?.origin) && isVector(camera.forward)),
    path: { seconds: Math.min(600, Math.max(1, Number(raw.path?.seconds) || 8)), keys: list(raw.path?.keys).filter((key) => isVector(key?.origin) && isVector(key.forward)) },
    steps: list(raw.steps).map((step) => ({ label: String(step.label ?? ""), volume: link(step.volume) })).filter((step) => step.volume),
    downloads: list(raw.downloads).map((item) => ({ label: String(item.label ?? "File"), url: link(item.url) })).filter((item) => item.url),
  };
}

/** The RGBA bytes of a volume. `onProgress` hears a share of 0 to 1, or null where the length is not known. */
export async function readVolume(url, grid, { signal, onProgress = () => {} } = {}) {
  const expected = grid[0] * grid[1] * grid[2] * 4;
  let bytes;
  try {
    const answer = await fetch(url, { signal });
    if (!answer.ok) throw new SceneError(`The scene's volume could not be read (${answer.status}).`);
    bytes = await unzipped(await collected(answer, expected, onProgress), expected);
  } catch (error) {
    if (error.name === "AbortError" || error instanceof SceneError) throw error;
    throw new SceneError("The scene's volume could not be read. Check the connection and try again.");
  }
  if (bytes.length !== expected) throw new SceneError(`The scene's volume has ${bytes.length} bytes where its grid needs ${expected}.`);
  return bytes;
}

async function collected(answer, expected, onProgress) {
  // With Content-Encoding, the length in the header is of the packed bytes while the stream gives unpacked ones.
  const total = answer.headers.get("Content-Encoding") ? expected : Number(answer.headers.get("Content-Length")) || expected;
  const reader = answer.body.getReader();
  const chunks = [];
  let size = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    chunks.push(value);
    size += value.length;
    if (size > expected + 65536) throw new SceneError("The scene's volume is larger than its grid.");
    onProgress(Math.min(1, size / total));
  }
  return new Uint8Array(await new Blob(chunks).arrayBuffer());
}

/** As it is, or unpacked where the server sent the gzip file without saying so. */
async function unzipped(bytes, expected) {
  if (bytes.length === expected || bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes;
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}
