"use strict";
(function () {
  const data = JSON.parse(document.getElementById("data").textContent);
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const phone = window.matchMedia("(max-width: 700px)");

  // --- figures ---

  // Colours of lines and points that are too dark for a dark page.
  const lighter = { "#0072b2": "#6cc0f5", "#56b4e9": "#3d87b8" };

  function lightened(figure) {
    const text = JSON.stringify(figure).replace(/"(#0072b2|#56b4e9)"/g, function (_, color) {
      return '"' + lighter[color] + '"';
    });
    return JSON.parse(text);
  }

  function draw(element) {
    const key = element.dataset.figure;
    let figure = (phone.matches && data.figures[key + "_phone"]) || data.figures[key];
    if (dark.matches && !figure.fixed) {
      figure = lightened(figure);
    }
    const layout = Object.assign({}, figure.layout);
    layout.template = data.templates[dark.matches ? "dark" : "light"];
    layout.autosize = !figure.fixed;
    if (phone.matches) {
      layout.dragmode = false; // A finger that moves scrolls the page.
    }
    element.style.minHeight = layout.height + "px";
    layout.modebar = { bgcolor: "rgba(0,0,0,0)" };
    const config = {
      // Plotly's own list has a button that sends a figure to its makers.
      modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]],
      displaylogo: false,
      displayModeBar: phone.matches || figure.fixed ? false : "hover",
      responsive: !figure.fixed,
    };
    return Plotly.react(element, figure.data, layout, config).then(function () {
      element.dataset.drawn = layout.template === data.templates.dark ? "dark" : "light";
    });
  }

  const plots = Array.from(document.querySelectorAll("[data-figure]"));
  let queue = [];
  let busy = false;

  function later(task) {
    if (window.requestIdleCallback) {
      window.requestIdleCallback(task, { timeout: 200 });
    } else {
      setTimeout(task, 20);
    }
  }

  // One after the other, so that the page can be read and scrolled meanwhile.
  function drawNext() {
    const next = queue.shift();
    busy = next !== undefined;
    if (busy) {
      Promise.resolve(next)
        .then(draw)
        .catch(console.error)
        .then(() => later(drawNext));
    }
  }

  function drawFirst(elements) {
    queue = elements.concat(queue.filter((element) => !elements.includes(element)));
    if (!busy) {
      drawNext();
    }
  }

  // What one scrolls to does not wait for what stands before it.
  const near = new IntersectionObserver(
    function (entries) {
      const seen = entries.filter((entry) => entry.isIntersecting);
      seen.forEach((entry) => near.unobserve(entry.target));
      drawFirst(seen.map((entry) => entry.target).filter((e) => !e.dataset.drawn));
    },
    { rootMargin: "300px 0px" },
  );
  drawFirst(plots);
  plots.forEach((element) => near.observe(element));

  function redraw() {
    drawFirst(plots.filter((element) => element.dataset.drawn));
  }

  dark.addEventListener("change", redraw);
  phone.addEventListener("change", redraw);
  window.addEventListener("beforeprint", function () {
    plots.filter((element) => !element.dataset.drawn).forEach(draw);
  });

  // --- the table of trials ---

  const table = document.getElementById("table");
  if (!table) {
    return;
  }
  const body = table.tBodies[0];
  const heads = Array.from(table.tHead.rows[0].cells);
  const rows = Array.from(body.rows);
  const texts = rows.map(function (row) {
    return row.textContent.toLowerCase();
  });
  const collator = new Intl.Collator(undefined, { numeric: true });

  function compare(one, other) {
    const numbers = [Number(one), Number(other)];
    if (numbers.every(Number.isFinite)) {
      return numbers[0] - numbers[1];
    }
    return collator.compare(one, other);
  }

  function sortBy(column, direction) {
    function keyOf(row) {
      return row.cells[column].dataset.key;
    }
    const ordered = rows.slice().sort(function (one, other) {
      const [a, b] = [keyOf(one), keyOf(other)];
      if ((a === "") !== (b === "")) {
        return a === "" ? 1 : -1; // What has no value comes last.
      }
      return direction * compare(a, b);
    });
    body.append(...ordered);
    heads.forEach(function (head, i) {
      head.ariaSort = i !== column ? null : direction > 0 ? "ascending" : "descending";
    });
  }

  heads.forEach(function (head, column) {
    head.firstElementChild.addEventListener("click", function () {
      sortBy(column, head.ariaSort === "ascending" ? -1 : 1);
    });
  });

  const shown = document.getElementById("shown");
  const filter = document.getElementById("filter");

  function show() {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    rows.forEach(function (row, i) {
      const fits = words.every(function (word) {
        return texts[i].includes(word);
      });
      row.hidden = !fits;
      count += fits;
    });
    shown.textContent = count + " of " + rows.length + " shown";
  }

  filter.addEventListener("input", show);
  show();
})();
