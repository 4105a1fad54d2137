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
  const COUNTS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 2e5, 5e5, 1e6];
  const time = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", timeZone: "UTC" });
  const plots = new Map();

  const clock = (seconds) => time.format(seconds * 1000);
  const shown = (value) => (value == null ? "–" : value.toLocaleString("en-US", { maximumFractionDigits: 1 }));

  // A line needs two values: one that stands alone, as of a route that sends now and then, is drawn as a point.
  const alone = (plot, number) => {
    const values = plot.data[number];
    return values.flatMap((value, at) => (value != null && values[at - 1] == null && values[at + 1] == null ? [at] : []));
  };

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
        tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
        scales: { y: { range: (plot, from, to) => [0, to > 0 ? to * 1.1 : 1] } },
        axes: [
          { stroke: "#4b5563", values: (plot, ticks) => ticks.map(clock) },
          { stroke: "#4b5563", size: 56, ...(names.includes("delay") ? {} : { incrs: COUNTS }) },
        ],
        series: [
          { label: "At", value: (plot, seconds) => (seconds == null ? "–" : clock(seconds)) },
          ...names.map((name) => ({
            ...LINES[name], width: 2, value: (plot, value) => shown(value), points: { show: false, filter: alone, size: 6 },
          })),
        ],
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
