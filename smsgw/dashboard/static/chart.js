// Draws the table of the hours as a chart, in the colours of the theme.
"use strict";

function drawHours(place) {
  const rows = [...document.getElementById(place.dataset.chart).tBodies[0].rows];
  const figure = (row, column) => Number(row.cells[column].textContent);
  const data = [
    rows.map((row) => Date.parse(row.querySelector("time").dateTime) / 1000),
    ...[1, 2, 3].map((column) => rows.map((row) => figure(row, column))),
  ];
  const colour = (name) => {
    // A canvas does not know the variables of the style sheet, but an element has their colours.
    const probe = place.appendChild(document.createElement("i"));
    probe.className = name;
    return () => getComputedStyle(probe).color;
  };
  const line = (label, name) => ({ label, stroke: colour(name), width: 2, points: { show: false } });
  const axis = { stroke: colour("chart-text"), grid: { stroke: colour("chart-grid"), width: 1 }, ticks: { show: false } };
  const chart = new uPlot({
    width: place.clientWidth,
    height: 220,
    legend: { live: false },
    cursor: { show: false },
    scales: { y: { range: (_chart, _low, high) => [0, Math.max(high, 5)] } },
    axes: [axis, { ...axis, size: 45 }],
    series: [{}, line("Sent", "chart-sent"), line("Failed", "chart-failed"), line("Received", "chart-received")],
  }, data, place);
  new ResizeObserver(() => chart.setSize({ width: place.clientWidth - 24, height: 220 })).observe(place);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => chart.redraw());
}

for (const place of document.querySelectorAll("[data-chart]")) drawHours(place);
