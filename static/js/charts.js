// Draws each <figure data-chart="id"> of {% chart %} with uPlot, from the JSON script of that id.
(() => {
  "use strict";

  const HEIGHT = 240;
  const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const colour = (tone) => style(`--chart-${tone}`) || style("--chart-accent");
  // A day is drawn at noon UTC and labelled in UTC, so that no reader's own zone moves it to its neighbour.
  const noon = (day) => Date.parse(`${day}T12:00:00Z`) / 1000;
  const dayFormat = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", timeZone: "UTC" });
  const label = (seconds) => dayFormat.format(new Date(seconds * 1000));

  const figure = (unit) => (value) => {
    if (!unit) return value.toLocaleString("en-US");
    return `${unit} ${value.toLocaleString("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 6 })}`;
  };

  // Bars stand on each other: each series is drawn as the running total, the tallest first.
  const stack = (series) => {
    const totals = [];
    return series.map((one) => one.values.map((value, index) => {
      totals[index] = (totals[index] || 0) + value;
      return totals[index];
    }));
  };

  // The legend shows the day under the pointer, and the totals (exact, from the server) while there is none.
  const seriesOptions = (one, kind, format) => {
    const tone = colour(one.tone);
    const common = {
      label: one.label,
      stroke: tone,
      value: (plot, drawn, seriesIndex, index) => (index == null ? one.total : format(one.values[index])),
      points: { show: false },
    };
    if (kind === "line") return { ...common, width: 2, fill: `color-mix(in srgb, ${tone} 12%, transparent)` };
    return { ...common, width: 0, fill: tone, paths: uPlot.paths.bars({ size: [0.7, 28], radius: [0.15, 0] }) };
  };

  const options = (data, width) => {
    const format = figure(data.unit);
    const grid = { stroke: style("--chart-grid"), width: 1 };
    const axis = { stroke: style("--chart-text"), grid, ticks: { show: false }, font: `12px ${style("--tblr-font-sans-serif")}` };
    const drawn = data.series.map((one) => seriesOptions(one, data.kind, format));
    return {
      width,
      height: HEIGHT,
      cursor: { y: false, drag: { x: false, y: false } },
      scales: { x: { time: true, range: (plot, from, to) => [from - 43200, to + 43200] }, y: { range: (plot, from, to) => [Math.min(0, from), to > 0 ? to * 1.1 : 1] } },
      axes: [
        { ...axis, grid: { show: false }, values: (plot, ticks) => ticks.map(label), splits: daySplits(width) },
        { ...axis, size: 64, values: (plot, ticks) => ticks.map((tick) => tick.toLocaleString("en-US")) },
      ],
      series: [{ label: "Day", value: (plot, seconds) => (seconds == null ? "all" : label(seconds)) }, ...(data.kind === "bar" ? drawn.reverse() : drawn)],
    };
  };

  // As many dates as fit, always on days that exist.
  const daySplits = (width) => (plot) => {
    const days = plot.data[0];
    const step = Math.max(1, Math.ceil(days.length / Math.max(2, Math.floor(width / 90))));
    return days.filter((day, index) => index % step === 0);
  };

  const draw = (element) => {
    if (element.dataset.drawn) return;
    const data = JSON.parse(document.getElementById(element.dataset.chart).textContent);
    const canvas = element.querySelector(".chart-canvas");
    if (!data.days.length || !canvas.clientWidth) return;
    element.dataset.drawn = "yes";
    element.querySelector(".chart-figures").open = false;
    const values = data.kind === "bar" ? stack(data.series).reverse() : data.series.map((one) => one.values);
    const plot = new uPlot(options(data, canvas.clientWidth), [data.days.map(noon), ...values], canvas);
    new ResizeObserver(() => plot.setSize({ width: canvas.clientWidth, height: HEIGHT })).observe(canvas);
  };

  const drawAll = (root) => root.querySelectorAll("figure[data-chart]").forEach(draw);
  document.addEventListener("htmx:afterSwap", (event) => drawAll(event.target));
  drawAll(document);
})();
