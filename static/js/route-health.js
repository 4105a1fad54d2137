// Brings the figures of staff's route pages up to date and draws a route's graphs from the JSON beside them.
(() => {
  "use strict";

  const EVERY = 5000;
  const LINES = {
    sent: { label: "Sent", stroke: "#0f766e" },
    errors: { label: "Refused or lost", stroke: "#b91c1c" },
    queued: { label: "Queue", stroke: "#1d4ed8" },
    delay: { label: "Seconds", stroke: "#7c3aed" },
  };
  const plots = new Map();

  const read = () => {
    const element = document.getElementById("route-series");
    return element && JSON.parse(element.textContent);
  };

  const draw = () => {
    const series = read();
    if (!series || !window.uPlot) return;
    document.querySelectorAll("[data-plot]").forEach((place) => {
      const names = place.dataset.plot.split(",");
      const data = [series.at, ...names.map((name) => series[name])];
      const known = plots.get(place);
      if (known) {
        known.setData(data);
        return;
      }
      const options = {
        width: place.clientWidth,
        height: 160,
        cursor: { y: false, drag: { x: false, y: false } },
        scales: { y: { range: (plot, from, to) => [0, to > 0 ? to * 1.1 : 1] } },
        axes: [{ stroke: "#4b5563" }, { stroke: "#4b5563", size: 56 }],
        series: [{ label: "At" }, ...names.map((name) => ({ ...LINES[name], width: 2, points: { show: false } }))],
      };
      plots.set(place, new uPlot(options, data, place));
    });
  };

  const refresh = async () => {
    if (document.hidden) return;
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } }).catch(() => null);
    if (!answer || !answer.ok || answer.redirected) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("[data-live]");
    const live = document.querySelector("[data-live]");
    // Whoever is about to follow a link in it is not disturbed.
    if (!fresh || !live || live.contains(document.activeElement)) return;
    live.replaceChildren(...fresh.childNodes);
    draw();
  };

  draw();
  window.addEventListener("resize", () => plots.forEach((plot, place) => plot.setSize({ width: place.clientWidth, height: 160 })));
  setInterval(refresh, EVERY);
})();
