// The grid of samples and its filters.

const set = JSON.parse(at("set").textContent);
const recent = new Map(); // the last parsed samples; the text of all stays in the page

function loadSample(place) {
  const sample = recent.get(place) ?? JSON.parse(at(`sample-${place}`).textContent);
  recent.delete(place);
  recent.set(place, sample);
  if (recent.size > 40) recent.delete(recent.keys().next().value);
  return sample;
}

function counted(number, one, many) {
  return `${number.toLocaleString("en")} ${number === 1 ? one : many}`;
}

function summaryText() {
  const splits = new Set(set.cards.map((card) => card.split)).size;
  const parts = [counted(set.total, "sample", "samples"), counted(set.num_classes, "class", "classes")];
  if (splits > 1) parts.push(counted(splits, "split", "splits"));
  const left = set.total - set.cards.length;
  const shown = left ? ` ${counted(set.cards.length, "is", "are")} shown; ${left.toLocaleString("en")} left out to keep this page small.` : "";
  const small = set.exact ? "" : " Pictures are reduced for this page.";
  return `${parts.join(" · ")}.${shown}${small}`;
}

function makeCard(card, place) {
  const picture = make("span", { className: "picture paper" });
  if (card.flags.length) picture.append(make("span", { className: "badges" }, ...badges(card.flags)));
  const key = make("small", {}, make("bdi", { dir: "ltr", textContent: card.key }));
  const label = make("span", { className: "label" }, make("b", { textContent: card.category }), key);
  const button = make("button", { type: "button", className: "card", title: card.key, onclick: () => openAt(place) }, picture, label);
  button.addEventListener("pointermove", (event) => leaf(picture, place, event));
  button.addEventListener("pointerleave", () => showView(picture, place, 0));
  return make("li", {}, button);
}

function fillPicture(picture, place) {
  const sample = loadSample(place);
  const first = sample.pictures.view[0];
  if (first) {
    const image = make("img", { src: first, alt: "", decoding: "async" });
    image.onerror = () => image.replaceWith(make("span", { className: "soft", textContent: "This picture is damaged." }));
    picture.prepend(image);
  } else {
    const canvas = make("canvas", { width: 300, height: 300 });
    const cloud = at("cloud");
    drawCloud(canvas, unpackCloud(sample.cloud), { ...START, zoom: 0.88 }, null, colorVariable(cloud, "--cloud-ink"), [255, 255, 255]);
    picture.prepend(canvas);
  }
}

// The mouse, moved across a card, leafs through its views.
function leaf(picture, place, event) {
  if (event.pointerType !== "mouse") return;
  const box = picture.getBoundingClientRect();
  const share = Math.max(0, Math.min(0.999, (event.clientX - box.left) / box.width));
  showView(picture, place, Math.floor(share * loadSample(place).pictures.view.length));
}

function showView(picture, place, number) {
  const image = picture.querySelector("img");
  const source = image && loadSample(place).pictures.view[number];
  if (source && picture.dataset.view !== String(number)) {
    picture.dataset.view = String(number);
    image.src = source;
  }
}

function fillSelect(select, everything, options) {
  select.append(new Option(everything, ""));
  for (const [value, text] of options) select.append(new Option(text, value));
  select.parentElement.hidden = options.length < 2 && select.id !== "flag";
}

function tally(names) {
  const counts = new Map();
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
  return [...counts].sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, count]) => ({ name, count }));
}

function fillFilters() {
  const option = (prefix, label) => ({ name, count }) => [prefix + name, `${label(name)} (${count})`];
  fillSelect(at("category"), "All classes", tally(set.cards.map((card) => card.category)).map(option("=", String)));
  fillSelect(at("split"), "All splits", tally(set.cards.map((card) => card.split)).map(option("=", String)));
  const flags = tally(set.cards.flatMap((card) => [...new Set(card.flags)]));
  const flagged = set.cards.filter((card) => card.flags.length).length;
  const rest = [["any", `With any flag (${flagged})`], ["none", `Without a flag (${set.cards.length - flagged})`]];
  fillSelect(at("flag"), "All", flags.length ? [...rest, ...flags.map(option("=", plainName))] : []);
  at("flag").parentElement.hidden = !flags.length;
}

function matches(card, words, category, split, flag) {
  if (category && category !== `=${card.category}`) return false;
  if (split && split !== `=${card.split}`) return false;
  if (flag === "any" && !card.flags.length) return false;
  if (flag === "none" && card.flags.length) return false;
  if (flag.startsWith("=") && !card.flags.includes(flag.slice(1))) return false;
  return words.every((word) => `${card.key} ${card.category} ${card.source}`.toLowerCase().includes(word));
}

let visible = [];

function filter() {
  const words = at("text").value.toLowerCase().split(/\s+/).filter(Boolean);
  const chosen = ["category", "split", "flag"].map((id) => at(id).value);
  for (const id of ["category", "split", "flag"]) at(id).classList.toggle("on", Boolean(at(id).value));
  visible = [];
  set.cards.forEach((card, place) => {
    const shown = matches(card, words, ...chosen);
    items[place].hidden = !shown;
    if (shown) visible.push(place);
  });
  const all = counted(set.cards.length, "sample", "samples");
  at("count").textContent = visible.length === set.cards.length ? all : `${visible.length.toLocaleString("en")} of ${all}`;
  at("nothing").hidden = visible.length > 0;
}

function openAt(place) {
  detail.open(visible, visible.indexOf(place));
}

function setPaper(name) {
  document.documentElement.dataset.paper = name;
  for (const button of document.querySelectorAll("[data-papers] button")) {
    button.setAttribute("aria-pressed", String(button.dataset.paper === name));
  }
}

const address = (key) => history.replaceState(null, "", key ? `#${key}` : location.pathname + location.search);

function closed(place) {
  address("");
  items[place].firstChild.focus({ preventScroll: true });
  items[place].scrollIntoView({ block: "nearest" });
}

const detail = new Detail(loadSample, (place) => address(set.cards[place].key), closed);

at("summary").textContent = summaryText();
fillFilters();
const items = set.cards.map(makeCard);
at("grid").append(...items);
const watcher = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (!isIntersecting) continue;
    watcher.unobserve(target);
    fillPicture(target.querySelector(".picture"), items.indexOf(target));
  }
}, { rootMargin: "300px" });
items.forEach((item) => watcher.observe(item));
at("text").addEventListener("input", filter);
for (const id of ["category", "split", "flag"]) at(id).addEventListener("change", filter);
at("filters").addEventListener("submit", (event) => event.preventDefault());
at("clear").addEventListener("click", () => {
  at("filters").reset();
  filter();
});
document.addEventListener("click", (event) => {
  const button = event.target.closest?.("[data-papers] button");
  if (button) setPaper(button.dataset.paper);
});
setPaper(matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "white");
filter();
const asked = set.cards.findIndex((card) => `#${card.key}` === location.hash);
if (asked >= 0) openAt(asked);
