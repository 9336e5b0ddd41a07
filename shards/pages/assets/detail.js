// The panel of one sample: its views, its points, what is known about it.

const KIND_NAMES = { view: "Views", depth: "Depth", normal: "Normals", part: "Parts" };
const at = (id) => document.getElementById(id);

function plainName(name) {
  const text = String(name).replaceAll("_", " ").trim();
  return text ? text[0].toUpperCase() + text.slice(1) : String(name);
}

function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

function badges(flags) {
  return flags.map((flag) => make("span", { className: "badge", title: flag, textContent: plainName(flag) }));
}

// A row of buttons of which one is pressed. It is built anew only when its names change, so that the focus stays.
function segments(box, names, pressed, onPick) {
  box.onPick = onPick;
  if (box.dataset.names !== names.join("\n")) {
    box.dataset.names = names.join("\n");
    const buttons = names.map((name, place) => make("button", { type: "button", textContent: name, onclick: () => box.onPick(place) }));
    box.replaceChildren(...(names.length > 1 ? buttons : []));
  }
  [...box.children].forEach((button, place) => button.setAttribute("aria-pressed", String(names[place] === pressed)));
}

function brief(value) {
  if (Array.isArray(value)) return value.map(brief).join(", ");
  if (typeof value !== "number") return typeof value === "object" && value ? JSON.stringify(value) : String(value);
  return Number.isInteger(value) ? value.toLocaleString("en") : String(Number(value.toPrecision(4)));
}

function factsOf(sample) {
  const { meta, cloud } = sample;
  const size = [meta.image_size].flat().filter((side) => side != null);
  const views = sample.num_views
    ? [brief(sample.num_views), size.length ? `${[size.at(-1), size[0]].join(" × ")} px` : "", meta.projection ?? ""]
    : ["none"];
  const facts = [
    ["Class", meta.category],
    ["Split", meta.split],
    ["File", meta.source],
    ["Mesh", `${brief(meta.num_vertices)} vertices, ${brief(meta.num_faces)} faces`],
    ["Points", brief(cloud.total)],
    ["Views", views.filter(Boolean).join(", ")],
  ];
  if (typeof meta.rig === "string") facts.push(["Cameras", meta.rig]);
  if (typeof meta.backend === "string") facts.push(["Drawn by", meta.backend]);
  const measured = meta.flags.length ? Object.entries(meta.quality ?? {}) : []; // of a good sample they tell nothing
  for (const [name, value] of measured) facts.push([plainName(name), brief(value)]);
  return facts;
}

class Detail {
  constructor(load, onShown, onClosed) {
    this.load = load;
    this.onShown = onShown;
    this.dialog = at("detail");
    this.cloudView = new CloudView(at("cloud"), (on) => at("spin").setAttribute("aria-pressed", String(on)));
    this.calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    at("spin").addEventListener("click", () => this.cloudView.spin(!this.cloudView.spinning));
    at("previous").addEventListener("click", () => this.go(-1));
    at("next").addEventListener("click", () => this.go(1));
    at("close").addEventListener("click", () => this.dialog.close());
    this.dialog.addEventListener("click", (event) => event.target === this.dialog && this.dialog.close());
    document.addEventListener("keydown", (event) => this.dialog.open && this.key(event));
    this.dialog.addEventListener("close", () => {
      this.cloudView.hide();
      onClosed(this.places[this.position]);
    });
  }

  open(places, position) {
    this.places = places;
    this.dialog.showModal();
    this.show(position);
    at("close").focus({ preventScroll: true });
  }

  go(step) {
    const position = this.position + step;
    if (position >= 0 && position < this.places.length) this.show(position);
  }

  key(event) {
    const steps = { ArrowLeft: -1, ArrowRight: 1 };
    const turns = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const zooms = { "+": 1.15, "=": 1.15, "-": 1 / 1.15 };
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.shiftKey && event.key in turns) this.cloudView.turn(...turns[event.key].map((step) => 0.12 * step));
    else if (event.key in zooms) this.cloudView.zoom(zooms[event.key]);
    else if (event.key in steps) this.go(steps[event.key]);
    else return;
    event.preventDefault();
  }

  show(position) {
    this.position = position;
    const sample = (this.sample = this.load(this.places[position]));
    at("detail-title").textContent = sample.meta.category;
    at("detail-key").textContent = sample.meta.key;
    at("detail-flags").replaceChildren(...badges(sample.meta.flags));
    at("detail-place").textContent = `${position + 1} of ${this.places.length}`;
    at("previous").disabled = position === 0;
    at("next").disabled = position === this.places.length - 1;
    at("facts").replaceChildren(
      ...factsOf(sample).flatMap(([name, value]) => [make("dt", { textContent: name }), make("dd", { textContent: value })]),
    );
    at("json").textContent = JSON.stringify(sample.meta, null, 2);
    this.showViews(sample);
    this.showPoints(sample);
    this.onShown(this.places[position]);
  }

  showViews(sample) {
    const known = new Set([...Object.keys(KIND_NAMES), ...Object.keys(sample.pictures)]);
    const kinds = [...known].filter((kind) => sample.pictures[kind]?.length);
    at("views-pane").hidden = !kinds.length;
    if (!kinds.length) return;
    if (!kinds.includes(this.kind)) this.kind = kinds[0];
    const title = (kind) => KIND_NAMES[kind] ?? plainName(kind);
    segments(at("kinds"), kinds.map(title), title(this.kind), (place) => {
      this.kind = kinds[place];
      this.showViews(sample);
    });
    const pictures = sample.pictures[this.kind];
    at("strip").replaceChildren(...pictures.map((source, place) => {
      const title = `View ${sample.numbers[place] + 1}`;
      const image = make("img", { src: source, alt: title, decoding: "async" });
      return make("li", {}, make("button", { type: "button", className: "paper", title, onclick: () => this.pick(place, true) }, image));
    }));
    this.pick(Math.min(this.picked ?? 0, pictures.length - 1), false);
  }

  pick(place, turn) {
    const { sample } = this;
    this.picked = place;
    at("big").src = sample.pictures[this.kind][place];
    at("big").alt = `View ${sample.numbers[place] + 1} of ${sample.meta.key}`;
    at("view-title").textContent = `View ${sample.numbers[place] + 1} of ${sample.num_views}`;
    [...at("strip").children].forEach((item, other) => item.firstChild.setAttribute("aria-current", String(other === place)));
    const angles = sample.angles[place];
    if (turn && angles) this.cloudView.turnTo({ azimuth: angles[0], elevation: angles[1], roll: angles[2] });
  }

  showPoints(sample) {
    const cloud = unpackCloud(sample.cloud);
    const layers = [...cloud.layers, { name: "Shape", colors: null }];
    const shown = layers.find((layer) => layer.name === this.layer) ?? layers[0];
    segments(at("layers"), layers.map((layer) => layer.name), shown.name, (place) => {
      this.layer = layers[place].name;
      this.showPoints(sample);
    });
    const same = this.shown === sample && this.cloudView.cloud;
    this.shown = sample;
    this.cloudView.show(cloud, shown.colors, same);
    if (!same) this.cloudView.spin(!this.calm);
    const number = cloud.count < cloud.total ? `${brief(cloud.count)} of ${brief(cloud.total)} points` : `${brief(cloud.count)} points`;
    const follow = sample.angles.length ? " Choose a view to look from there." : "";
    at("hint").textContent = cloud.count ? `${number}. Drag to turn, scroll to zoom.${follow}` : "This sample has no points.";
  }
}
