// What an accessibility audit asks of a page; the value is the list of what it finds wrong.
(() => {
  const wrong = [];
  const place = (e) => `${e.tagName.toLowerCase()}${e.id ? "#" + e.id : ""}.${e.getAttribute("class") || ""} “${(e.textContent || "").trim().slice(0, 40)}”`;
  const all = (selector) => [...document.querySelectorAll(selector)];
  const hidden = (e) => e.closest("[aria-hidden=true]") !== null;

  if (!document.documentElement.lang) wrong.push("the page has no language");
  if (!document.title.trim()) wrong.push("the page has no title");
  if (!document.querySelector("meta[name=viewport]")) wrong.push("no viewport");
  if (document.querySelectorAll("main").length !== 1) wrong.push("not one main landmark");

  let level = 0;
  for (const heading of all("h1, h2, h3, h4, h5, h6")) {
    const now = Number(heading.tagName[1]);
    if (now > level + 1) wrong.push(`heading jumps from ${level} to ${now}: ${place(heading)}`);
    if (!heading.textContent.trim()) wrong.push(`empty heading: ${place(heading)}`);
    level = now;
  }
  if (all("h1").length !== 1) wrong.push("not one h1");

  const ids = all("[id]").map((e) => e.id);
  ids.filter((id, i) => ids.indexOf(id) !== i).forEach((id) => wrong.push(`id twice: ${id}`));
  for (const image of all("img")) if (!image.hasAttribute("alt")) wrong.push(`no alt text: ${place(image)}`);
  for (const chart of all("svg")) {
    const named = chart.getAttribute("aria-label") || chart.querySelector(":scope > title")?.textContent;
    if (!hidden(chart) && !(chart.getAttribute("role") === "img" && named)) wrong.push(`chart without a name: ${place(chart)}`);
  }
  for (const link of all("a[href]")) {
    if (!(link.textContent.trim() || link.getAttribute("aria-label"))) wrong.push(`link without text: ${place(link)}`);
    const target = link.getAttribute("href");
    if (target.startsWith("#") && !document.getElementById(target.slice(1))) wrong.push(`link to nowhere: ${target}`);
  }
  for (const field of all("audio, input, select, button")) {
    if (!(field.closest("label") || field.getAttribute("aria-label") || field.textContent.trim())) wrong.push(`no label: ${place(field)}`);
  }
  for (const table of all("table")) if (!table.querySelector("th")) wrong.push(`table without headers: ${place(table)}`);
  for (const entry of performance.getEntriesByType("resource")) {
    if (!/^(file|data):/.test(entry.name)) wrong.push(`loads ${entry.name}`);
  }
  const width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth > width) wrong.push(`${document.documentElement.scrollWidth} px wide on ${width}`);

  for (const chart of all("svg")) {
    const labels = [...chart.querySelectorAll("text")].filter((e) => e.checkVisibility()).map((e) => [e, e.getBoundingClientRect()]);
    labels.forEach(([one, a], i) => labels.slice(i + 1).forEach(([other, b]) => {
      const [wide, high] = [Math.min(a.right, b.right) - Math.max(a.left, b.left), Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top)];
      if (wide > 1 && high > 3) wrong.push(`labels overlap: ${place(one)} ${place(other)}`);
    }));
  }

  const rgb = (text) => {
    const found = text.match(/^rgba?\(([\d.]+),? ([\d.]+),? ([\d.]+)(?:,? ?\/? ([\d.]+))?\)/);
    return found ? [+found[1], +found[2], +found[3], found[4] === undefined ? 1 : +found[4]] : null;
  };
  const over = (top, below) => [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3])).concat(1);
  const luminance = (colour) => {
    const [r, g, b] = colour.slice(0, 3).map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (a, b) => {
    const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y);
    return (high + 0.05) / (low + 0.05);
  };
  const behind = (element, inside) => {
    const layers = [];
    if (inside) {
      element.scrollIntoView({ block: "center" });
      const box = element.getBoundingClientRect();
      const stack = document.elementsFromPoint(box.x + box.width / 2, box.y + box.height / 2);
      for (const shape of stack.slice(stack.indexOf(element) + 1)) {
        if (!(shape instanceof SVGElement) || ["svg", "g", "text", "tspan", "title"].includes(shape.tagName)) continue;
        const fill = rgb(getComputedStyle(shape).fill);
        if (fill) layers.push([...fill.slice(0, 3), fill[3] * getComputedStyle(shape).fillOpacity * getComputedStyle(shape).opacity]);
      }
    }
    for (let e = element; e; e = e.parentElement) {
      const colour = rgb(getComputedStyle(e).backgroundColor);
      if (colour && colour[3] > 0) layers.push(colour);
    }
    return layers.reduceRight((below, top) => over(top, below), rgb(getComputedStyle(document.documentElement).backgroundColor)[3] ? [0, 0, 0, 1] : [255, 255, 255, 1]);
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement;
    if (!node.textContent.trim() || hidden(element) || ["TITLE", "STYLE", "title", "style"].includes(element.tagName)) continue;
    const style = getComputedStyle(element);
    if (!element.checkVisibility({ checkOpacity: true, checkVisibilityCSS: true }) || !element.getClientRects().length) continue;
    const svg = element instanceof SVGElement;
    const colour = rgb(svg ? style.fill : style.color);
    if (!colour) continue;
    const size = parseFloat(style.fontSize);
    const least = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700) ? 3 : 4.5;
    const back = behind(element, svg);
    const ratio = contrast(over(colour, back), back);
    if (ratio < least - 0.01) wrong.push(`contrast ${ratio.toFixed(2)} < ${least}: ${place(element)}`);
  }
  window.scrollTo(0, 0);
  return [...new Set(wrong)];
})()
