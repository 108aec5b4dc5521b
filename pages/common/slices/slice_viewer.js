// One slice on a canvas: zoom, pan, window and level, layers, and a threshold that acts at the next frame.
const LAYERS = {
  outline: "Outline", probability: "Probability", grad_cam: "Grad-CAM", uncertainty: "Uncertainty", errors: "Hits and misses",
};
const CHANNELS = ["Pre-contrast", "FLAIR", "Post-contrast"];
const PREDICTED = [230, 159, 0], TRUTH = [86, 180, 233], HIT = [0, 158, 115], MISS = [86, 180, 233], FALSE = [204, 51, 153];
const INFERNO = [[0, 0, 4], [40, 11, 84], [101, 21, 110], [159, 42, 99], [212, 72, 66], [245, 125, 21], [250, 193, 39], [252, 255, 164]];
const SYNC = 300;  // milliseconds without a move after which the server hears of the threshold

const inferno = (share) => {
  const at = Math.min(0.9999, Math.max(0, share)) * (INFERNO.length - 1), low = Math.floor(at), rest = at - low;
  return INFERNO[low].map((value, index) => value + rest * (INFERNO[low + 1][index] - value));
};

// The pixels of a PNG; each channel as bytes.
async function pixels(source) {
  if (!source) return null;
  const image = await picture(source);
  const canvas = made("canvas", { width: image.width, height: image.height });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(image, 0, 0);
  return context.getImageData(0, 0, image.width, image.height);
}

class Viewer extends Component {
  constructor(root) {
    super(root);
    Object.assign(this, { layer: "outline", channel: 1, opacity: 0.8, swipe: null, level: 0.5, width: 1 });
    this.canvas = root.querySelector("canvas");
    this.context = this.canvas.getContext("2d");
    this.pointers = new Map();
    this.listen();
    new ResizeObserver(() => this.draw()).observe(this.canvas);
  }

  async show(data) {
    this.tell = data.tell;
    if (this.data && this.data.key === data.key && this.data.stamp === data.stamp) return;
    const isNew = !this.data || this.data.key !== data.key;
    const [image, probability, gradCam, uncertainty, truth] = await Promise.all(
      [data.image, data.probability, data.grad_cam, data.uncertainty, data.truth].map(pixels));
    Object.assign(this, { data, image, probability, gradCam, uncertainty, truth });
    if (isNew) { this.reset(); this.threshold = data.threshold; }
    if (data.layer && LAYERS[data.layer] && isNew) this.layer = data.layer;
    if (!this.offered().includes(this.layer)) this.layer = "outline";
    this.buttons("layers", this.offered(), LAYERS, (name) => { this.layer = name; });
    this.buttons("channels", data.one_channel ? [] : [0, 1, 2], CHANNELS, (number) => { this.channel = number; });
    const tick = this.find("tick");
    tick.style.left = `${100 * (data.validated - 0.01) / 0.98}%`;
    tick.title = `Chosen on validation: ${data.validated.toFixed(2)}`;
    this.find("threshold").value = this.threshold;
    this.find("copy").hidden = !data.link;
    this.change();
  }

  offered() {
    return Object.keys(LAYERS).filter((name) => name === "outline" || (name === "probability" && this.probability)
      || (name === "grad_cam" && this.gradCam) || (name === "uncertainty" && this.uncertainty) || (name === "errors" && this.truth));
  }

  buttons(group, names, words, choose) {
    const place = this.find(group);
    place.replaceChildren(...names.map((name) => {
      const button = made("button", { type: "button", textContent: words[name] });
      button.dataset.value = name;
      button.onclick = () => { choose(name); this.change(); };
      return button;
    }));
  }

  reset() { Object.assign(this, { zoom: 1, panX: 0, panY: 0, level: 0.5, width: 1 }); }

  // Everything that depends on the threshold, the layer or the window: pictures in the slice's own pixels, then figures.
  change() {
    const { width, height } = this.image, count = width * height;
    this.mask = new Uint8Array(count);
    if (this.probability && !this.data.gated) {
      const bytes = this.probability.data, least = Math.ceil(this.threshold * 65535 - 0.5);
      for (let at = 0; at < count; at++) this.mask[at] = bytes[4 * at] * 256 + bytes[4 * at + 1] >= least;
    }
    this.plain = this.grey();
    this.over = this.overlay();
    for (const group of ["layers", "channels"]) {
      const chosen = String(group === "layers" ? this.layer : this.channel);
      for (const button of this.find(group).children) button.setAttribute("aria-pressed", String(button.dataset.value === chosen));
    }
    this.find("threshold").value = this.threshold;
    this.find("value").textContent = this.threshold.toFixed(2);
    this.find("figures").textContent = this.figures();
    this.legend();
    this.draw();
  }

  grey() {
    const { width, height, data } = this.image, result = new ImageData(width, height);
    const low = this.level - this.width / 2;
    for (let at = 0; at < data.length; at += 4) {
      const value = 255 * (data[at + this.channel] / 255 - low) / this.width;
      result.data[at] = result.data[at + 1] = result.data[at + 2] = value;
      result.data[at + 3] = 255;
    }
    return this.bitmap(result);
  }

  overlay() {
    const { width, height } = this.image, result = new ImageData(width, height), paint = (at, colour, alpha) => {
      result.data.set([...colour, 255 * alpha], 4 * at);
    };
    if (this.layer === "outline") return null;
    for (let at = 0; at < width * height; at++) {
      if (this.layer === "errors") {
        const truth = this.truth.data[4 * at] > 0;
        if (truth || this.mask[at]) paint(at, truth ? (this.mask[at] ? HIT : MISS) : FALSE, 0.75);
        continue;
      }
      const source = { probability: this.probability, grad_cam: this.gradCam, uncertainty: this.uncertainty }[this.layer];
      const share = (source.data[4 * at] * 256 + source.data[4 * at + 1]) / 65535;
      paint(at, inferno(share), Math.min(1, 1.5 * share));
    }
    return this.bitmap(result);
  }

  bitmap(picture) {
    const canvas = made("canvas", { width: picture.width, height: picture.height });
    canvas.getContext("2d").putImageData(picture, 0, 0);
    return canvas;
  }

  figures() {
    const area = this.mask.reduce((sum, inside) => sum + inside, 0);
    const each = this.data.file_pixels; // of the file, that one shown pixel stands for
    const words = [`${each > 1 ? "about " : ""}${(area * each).toLocaleString("en")} pixels`];
    if (this.data.pixel_mm2) words.push(`${(area * this.data.pixel_mm2).toFixed(0)} mm²`);
    if (this.truth) {
      let both = 0, truth = 0;
      for (let at = 0; at < this.mask.length; at++) {
        const inside = this.truth.data[4 * at] > 0;
        truth += inside;
        both += inside && this.mask[at];
      }
      if (truth + area) words.push(`Dice ${(2 * both / (truth + area)).toFixed(3)}`);
    }
    return words.join(" · ");
  }

  legend() {
    const parts = {
      outline: [["Outlined", PREDICTED], ...(this.truth && this.data.has_truth ? [["True outline", TRUTH]] : [])],
      errors: [["Hit", HIT], ["Missed", MISS], ["False positive", FALSE]],
    }[this.layer];
    const place = this.find("legend"), top = this.layer === "uncertainty" ? "0.25" : this.layer === "grad_cam" ? "most" : "1";
    if (parts) {
      place.replaceChildren(...parts.map(([words, colour]) => {
        const item = made("span", { className: "key", textContent: words });
        item.style.setProperty("--colour", `rgb(${colour})`);
        return item;
      }));
      return;
    }
    const stops = INFERNO.map((colour) => `rgb(${colour})`).join(",");
    const bar = made("i", { className: "bar" });
    bar.style.background = `linear-gradient(to right, ${stops})`;
    place.replaceChildren("0 ", bar, ` ${top}`);
  }

  // Where the slice lies on the canvas, in device pixels.
  place() {
    const ratio = window.devicePixelRatio || 1, { clientWidth, clientHeight } = this.canvas;
    const [wide, high] = [Math.round(clientWidth * ratio), Math.round(clientHeight * ratio)];
    if (this.canvas.width !== wide || this.canvas.height !== high) Object.assign(this.canvas, { width: wide, height: high });
    const { width, height } = this.image, tall = height * this.data.aspect;
    const scale = Math.min(wide / width, high / tall) * this.zoom;
    return { x: (wide - width * scale) / 2 + this.panX * ratio, y: (high - tall * scale) / 2 + this.panY * ratio,
      across: scale, down: scale * this.data.aspect, ratio, wide, high };
  }

  draw() {
    if (!this.image || !this.canvas.clientWidth) return;
    const { x, y, across, down, ratio, wide, high } = this.place(), { width, height } = this.image, pen = this.context;
    pen.fillStyle = "#000";
    pen.fillRect(0, 0, wide, high);
    pen.imageSmoothingEnabled = true;
    pen.imageSmoothingQuality = "high";
    pen.drawImage(this.plain, x, y, width * across, height * down);
    pen.save();
    if (this.swipe !== null) {
      pen.beginPath();
      pen.rect(this.swipe * wide, 0, wide, high);
      pen.clip();
    }
    pen.globalAlpha = this.opacity;
    if (this.over) pen.drawImage(this.over, x, y, width * across, height * down);
    if (this.layer === "outline") {
      if (this.truth && this.data.has_truth) this.stroke((at) => this.truth.data[4 * at] > 0, TRUTH, { x, y, across, down, ratio });
      this.stroke((at) => this.mask[at] > 0, PREDICTED, { x, y, across, down, ratio });
    }
    pen.restore();
    if (this.swipe !== null) {
      pen.fillStyle = "#fff";
      pen.fillRect(this.swipe * wide - ratio, 0, 2 * ratio, high);
    }
    this.sides(ratio, wide, high);
    if (this.data.column_mm) this.scale(across / this.data.column_mm, ratio, high);
  }

  // Which side of the patient is where, at the edges of the canvas.
  sides(ratio, wide, high) {
    const pen = this.context, [left, right] = this.data.sides || "";
    if (!left) return;
    Object.assign(pen, { fillStyle: "#fff", font: `600 ${18 * ratio}px sans-serif` });
    pen.fillText(left, 12 * ratio, high / 2);
    pen.fillText(right, wide - 26 * ratio, high / 2);
  }

  // A bar of a round length below the picture; `scale` is device pixels per millimetre.
  scale(scale, ratio, high) {
    const millimetres = [100, 50, 20, 10, 5, 2, 1].find((length) => length * scale < 160 * ratio) || 1, pen = this.context;
    const [left, bottom, length] = [16 * ratio, high - 14 * ratio, millimetres * scale];
    Object.assign(pen, { strokeStyle: "#fff", fillStyle: "#fff", lineWidth: 3 * ratio, font: `${14 * ratio}px sans-serif` });
    pen.beginPath();
    pen.moveTo(left, bottom);
    pen.lineTo(left + length, bottom);
    pen.stroke();
    pen.fillText(`${millimetres} mm`, left, bottom - 8 * ratio);
  }

  // A line along the sides of pixels between inside and outside.
  stroke(inside, colour, { x, y, across, down, ratio }) {
    const { width, height } = this.image, pen = this.context;
    pen.beginPath();
    for (let row = 0; row < height; row++) {
      for (let column = 0; column < width; column++) {
        const at = row * width + column;
        if (!inside(at)) continue;
        const left = x + column * across, top = y + row * down, right = left + across, bottom = top + down;
        if (row === 0 || !inside(at - width)) { pen.moveTo(left, top); pen.lineTo(right, top); }
        if (row === height - 1 || !inside(at + width)) { pen.moveTo(left, bottom); pen.lineTo(right, bottom); }
        if (column === 0 || !inside(at - 1)) { pen.moveTo(left, top); pen.lineTo(left, bottom); }
        if (column === width - 1 || !inside(at + 1)) { pen.moveTo(right, top); pen.lineTo(right, bottom); }
      }
    }
    pen.strokeStyle = `rgb(${colour})`;
    pen.lineWidth = 2 * ratio;
    pen.lineCap = "round";
    pen.stroke();
  }

  setThreshold(value) {
    this.threshold = Math.min(0.99, Math.max(0.01, Math.round(100 * value) / 100));
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => this.change());
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.tell({ key: this.data.key, threshold: this.threshold }), SYNC);
  }

  zoomAt(factor, clientX, clientY) {
    const box = this.canvas.getBoundingClientRect(), zoom = Math.min(12, Math.max(1, this.zoom * factor)), by = zoom / this.zoom;
    const [fromX, fromY] = [clientX - box.left - box.width / 2, clientY - box.top - box.height / 2];
    Object.assign(this, { zoom, panX: fromX - by * (fromX - this.panX), panY: fromY - by * (fromY - this.panY) });
    if (zoom === 1) this.panX = this.panY = 0;
    this.draw();
  }

  listen() {
    const { canvas, root } = this;
    this.find("threshold").addEventListener("input", (event) => this.setThreshold(Number(event.target.value)));
    this.find("opacity").addEventListener("input", (event) => { this.opacity = Number(event.target.value); this.draw(); });
    this.find("reset").onclick = () => { this.reset(); this.swipe = null; this.layer = "outline"; this.setThreshold(this.data.validated); };
    this.find("swipe").onclick = () => { this.swipe = this.swipe === null ? 0.5 : null; this.draw(); };
    this.find("copy").onclick = (event) => this.copy(event.target);
    canvas.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && !event.metaKey) return;  // the wheel alone scrolls the page
      event.preventDefault();
      this.zoomAt(Math.exp(-event.deltaY / 500), event.clientX, event.clientY);
    }, { passive: false });
    canvas.addEventListener("dblclick", () => { this.reset(); this.change(); });
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    canvas.addEventListener("pointerdown", (event) => { canvas.setPointerCapture(event.pointerId); this.pointers.set(event.pointerId, event); });
    for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, (event) => this.pointers.delete(event.pointerId));
    canvas.addEventListener("pointermove", (event) => this.drag(event));
    root.querySelector(".viewer").addEventListener("keydown", (event) => this.key(event));
  }

  // One finger or the shift key pans, two fingers zoom, the mouse moves window and level, or the line of the swipe.
  drag(event) {
    const before = this.pointers.get(event.pointerId);
    if (!before) return;
    const [x, y] = [event.clientX - before.clientX, event.clientY - before.clientY], box = this.canvas.getBoundingClientRect();
    if (this.pointers.size === 2) {
      const other = [...this.pointers.values()].find((one) => one.pointerId !== event.pointerId);
      const apart = (one) => Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY) || 1;
      this.zoomAt(apart(event) / apart(before), (event.clientX + other.clientX) / 2, (event.clientY + other.clientY) / 2);
    } else if (this.swipe !== null) {
      this.swipe = Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
      this.draw();
    } else if (event.shiftKey || event.pointerType === "touch" || event.buttons > 1) {
      if (this.zoom > 1) Object.assign(this, { panX: this.panX + x, panY: this.panY + y });
      this.draw();
    } else {
      this.width = Math.min(2, Math.max(0.05, this.width + x / box.width));
      this.level = Math.min(1, Math.max(0, this.level + y / box.height));
      this.plain = this.grey();
      this.draw();
    }
    this.pointers.set(event.pointerId, event);
  }

  key(event) {
    if (event.target.matches("input") || event.ctrlKey || event.metaKey || event.altKey) return;
    const box = this.canvas.getBoundingClientRect(), middle = [box.left + box.width / 2, box.top + box.height / 2];
    const layer = this.offered()[Number(event.key) - 1];
    if (layer) { this.layer = layer; this.change(); }
    else if (event.key === "+") this.zoomAt(1.25, ...middle);
    else if (event.key === "-") this.zoomAt(0.8, ...middle);
    else if (event.key === "0") { this.reset(); this.change(); }
    else if (event.key === "[") this.setThreshold(this.threshold - 0.01);
    else if (event.key === "]") this.setThreshold(this.threshold + 0.01);
    else if (event.key === "s") this.find("swipe").click();
    else if (event.key === "?") this.find("keys").hidden = !this.find("keys").hidden;
    else if (event.key === "ArrowLeft") neighbour(-1);
    else if (event.key === "ArrowRight") neighbour(1);
    else return;
    event.preventDefault();
  }

  async copy(button) {
    const link = new URL(window.location.pathname, window.location.origin);
    for (const [name, value] of Object.entries({ ...this.data.link, threshold: this.threshold.toFixed(2), layer: this.layer })) {
      link.searchParams.set(name, value);
    }
    try { await navigator.clipboard.writeText(link.href); button.textContent = "Copied"; } catch { window.prompt("Copy this link", link.href); }
    setTimeout(() => { button.textContent = "Copy link"; }, 1500);
  }
}

// Streamlit makes two buttons of each, of which it shows one.
const samples = () => [...document.querySelectorAll(".st-key-gallery .stButton button")].filter((one) => one.getClientRects().length);
const isShown = (button) => button.getAttribute("kind") === "primary";

// The sample before or after the one that is shown, where samples are offered.
function neighbour(by) {
  const offered = samples(), next = offered[offered.findIndex(isShown) + by];
  next?.click();
  return next;
}

// The samples are one stop of the Tab key; within it, arrow keys go from one to the next. Whenever the page is drawn again,
// its buttons are others.
function oneStop() {
  for (const button of document.querySelectorAll(".st-key-gallery button")) button.tabIndex = isShown(button) ? 0 : -1;
}
const drawn = new MutationObserver(oneStop);

function arrows(event) {
  const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (!by || !event.target.closest?.(".st-key-gallery")) return;
  event.preventDefault();
  if (neighbour(by)) follows = true;
}
let follows = false;  // whether the focus goes along once the other sample is shown

export default function ({ data, parentElement, setStateValue }) {
  oneStop();
  drawn.observe(document.querySelector("[data-testid=stMain]"), { childList: true, subtree: true });
  if (follows) samples().find(isShown)?.focus();
  follows = false;
  document.addEventListener("keydown", arrows);  // the same listener, or observer, again changes nothing
  parentElement.viewer ??= new Viewer(parentElement);
  parentElement.viewer.show({ ...data, tell: (state) => setStateValue("shown", state) });
}
