// Buttons below every figure: the figure as SVG that stands alone, and its data as CSV.
"use strict";
(() => {
  const STYLE = ["fill", "fill-opacity", "stroke", "stroke-width", "stroke-dasharray", "stroke-opacity", "stroke-linejoin",
    "opacity", "font-family", "font-size", "font-weight", "text-anchor"];

  function save(name, kind, text) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: kind }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }

  // The legend of a figure, drawn below it in two columns, or in one where a text is too long for half the width.
  function legend(figure, svg, top) {
    const keys = (figure.dataset.key ? document.getElementById("key-" + figure.dataset.key) : figure).querySelectorAll(".legend li");
    const group = document.createElementNS(svg.namespaceURI, "g");
    const columns = Array.from(keys).some((key) => key.textContent.trim().length > 26) ? 1 : 2, most = 56 / columns;
    keys.forEach((key, place) => {
      const own = document.createElementNS(group.namespaceURI, "g"), text = document.createElementNS(group.namespaceURI, "text");
      own.setAttribute("transform", `translate(${8 + 206 * (place % columns)} ${top + 20 * Math.floor(place / columns)})`);
      const words = key.textContent.trim();
      text.textContent = words.length > most ? words.slice(0, most - 1) + "…" : words;
      text.setAttribute("x", 30);
      text.setAttribute("y", 11);
      own.append(...key.querySelector("svg").cloneNode(true).childNodes, text);
      group.append(own);
    });
    svg.append(group);
    return [group, 20 * Math.ceil(keys.length / columns) + 6];
  }

  // A copy whose elements carry their style in the light scheme's colors, for papers: no rule of the page is needed.
  function alone(figure, svg) {
    const light = document.styleSheets[0].cssRules[0].style;
    for (const name of light) if (name.startsWith("--")) svg.style.setProperty(name, light.getPropertyValue(name));
    const [, , width, height] = svg.getAttribute("viewBox").split(" ").map(Number);
    const [keys, more] = legend(figure, svg, height);
    const copy = svg.cloneNode(true), drawn = [...svg.querySelectorAll("*")];
    [...copy.querySelectorAll("*")].forEach((element, place) => {
      if (!["path", "rect", "line", "text"].includes(element.tagName)) return;
      const own = getComputedStyle(drawn[place]);
      for (const name of STYLE) element.setAttribute(name, own.getPropertyValue(name));
      element.removeAttribute("class");
    });
    svg.removeAttribute("style");
    keys.remove();
    copy.removeAttribute("style");
    for (const link of copy.querySelectorAll("a")) link.replaceWith(...link.childNodes);
    copy.setAttribute("viewBox", `0 0 ${width} ${height + more}`);
    copy.setAttribute("width", width);
    copy.setAttribute("height", height + more);
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + new XMLSerializer().serializeToString(copy);
  }

  for (const figure of document.querySelectorAll("figure")) {
    const svg = figure.querySelector(":scope > svg"), data = svg && svg.querySelector("metadata");
    if (!svg) continue;
    const name = svg.getAttribute("aria-label").normalize("NFKD").replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-|-$/g, "");
    const bar = document.createElement("p");
    bar.className = "save";
    const offer = (label, act) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = label;
      button.title = "save " + svg.getAttribute("aria-label") + " as " + label;
      button.addEventListener("click", act);
      bar.append(button);
    };
    offer("SVG", () => save(name + ".svg", "image/svg+xml", alone(figure, svg)));
    if (data) offer("CSV", () => save(name + ".csv", "text/csv", data.textContent));
    figure.append(bar);
  }
})();
