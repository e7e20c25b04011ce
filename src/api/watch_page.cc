#include "api/watch_page.h"

namespace lorapress {

const std::string_view kWatchPage = R"html(<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8" />
    <meta name="viewport" content="width=device-width, initial-scale=1" />
    <meta name="color-scheme" content="light dark" />
    <title>LoraPress: a training's captions</title>
    <link rel="icon" href="data:," />
    <style>
      body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
      table { border-collapse: collapse; width: 100%; margin-bottom: 2rem; }
      th, td { text-align: left; vertical-align: top; padding: 0.5rem; border-bottom: 1px solid #8886; }
      img { max-width: 8rem; max-height: 8rem; display: block; }
      td.changed { font-weight: 600; }
    </style>
  </head>
  <body>
    <h1>Captions while it trains</h1>
    <p id="state" role="status">Waiting for the first checkpoint</p>
    <table hidden id="captions">
      <thead><tr><th>Image</th><th id="newest">Newest</th><th id="before">Before</th></tr></thead>
      <tbody></tbody>
    </table>
    <table hidden id="steps">
      <thead><tr><th>Step</th><th id="metric">Validation</th><th></th></tr></thead>
      <tbody></tbody>
    </table>
    <script>
      const byId = (id) => document.getElementById(id);
      const cell = (row, text) => { const made = row.insertCell(); made.textContent = text; return made; };
      const fill = (table, rows, add) => {
        const body = table.tBodies[0];
        body.replaceChildren();
        table.hidden = rows.length === 0;
        for (const row of rows) add(body.insertRow(), row);
      };
      let shown = "";
      async function look() {
        try {
          const text = await (await fetch("watch.json", { cache: "no-store" })).text();
          if (text !== shown) { show(JSON.parse(text)); shown = text; }
        } catch (error) {
          byId("state").textContent = `No state to read: ${error.message}`;
        }
        setTimeout(look, 2000);
      }
      function show({ steps, metric }) {
        const pressed = steps.filter((step) => !step.error);
        const newest = pressed.at(-1);
        if (!newest) return;
        const before = pressed.at(-2);
        byId("state").textContent = `Step ${newest.step}${newest.best ? ", the best so far" : ""}`;
        byId("newest").textContent = `Step ${newest.step}`;
        byId("before").textContent = before ? `Step ${before.step}` : "";
        byId("metric").textContent = metric;
        const old = new Map((before?.captions ?? []).map(({ image, text }) => [image, text]));
        fill(byId("captions"), newest.captions ?? [], (row, { image, text }) => {
          const picture = document.createElement("img");
          picture.src = `images/${encodeURIComponent(image)}`;
          picture.alt = image;
          row.insertCell().append(picture);
          const said = cell(row, text);
          cell(row, old.get(image) ?? "");
          if (old.has(image) && old.get(image) !== text) said.className = "changed";
        });
        fill(byId("steps"), [...steps].reverse(), (row, step) => {
          cell(row, step.step);
          cell(row, step.metric ?? "");
          cell(row, step.error || (step.best ? "best" : ""));
        });
      }
      look();
    </script>
  </body>
</html>
)html";

}  // namespace lorapress
