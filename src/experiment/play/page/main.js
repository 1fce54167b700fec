// The entry point: TensorBoard, or the HTML file, calls `render`.

import { App } from "./app.js";
import { html } from "./dom.js";
import { fileSource, serverSource } from "./source.js";

/** Build the page in the document. */
export async function render() {
  const data = document.getElementById("play-data");
  if (!data) document.head.append(html("link", { rel: "stylesheet", href: new URL("style.css", import.meta.url) }));
  document.documentElement.lang = "en";
  await new App(data ? fileSource(data) : serverSource(new URL("../", import.meta.url)), document.body).start();
}
