// Where the page's data come from: TensorBoard's server, or the HTML file itself.
//
// A source has `runs()`, `manifest(run)`, `blob(run, name, from)` and `series(run, tag)`; the last two
// return an ArrayBuffer. `from` is the first step that a blob of steps is to hold.

/** Return the source that asks the plugin in TensorBoard's server, whose routes are relative to `base`. */
export function serverSource(base) {
  async function request(route, parameters = {}) {
    const url = new URL(route, base);
    for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value);
    const response = await fetch(url);
    if (!response.ok) throw new Error(await reasonOf(response));
    return response;
  }
  return {
    isLive: true,
    runs: async () => (await (await request("runs")).json()).runs,
    manifest: async (run) => (await request("manifest", { run })).json(),
    blob: async (run, name, from) => (await request("blob", { run, name, ...(from && { from }) })).arrayBuffer(),
    series: async (run, tag) => (await request("series", { run, tag })).arrayBuffer(),
  };
}

async function reasonOf(response) {
  const text = await response.text();
  try {
    return JSON.parse(text).error;
  } catch {
    return text || response.statusText;
  }
}

/** Return the source of what an element holds: JSON, with compressed arrays in base64. */
export function fileSource(element) {
  const data = JSON.parse(element.textContent);
  return {
    isLive: false,
    runs: async () => data.runs.runs,
    manifest: async (run) => data.manifests[run],
    blob: async (run, name) => decompress(data.blobs[run][name]),
    series: async (run, tag) => decompress(data.series[run][tag]),
  };
}

async function decompress(base64) {
  const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
}
