// A slice for some seconds, an outline drawn by hand, and then the truth, the network and the player over one another.
const COLOURS = { truth: "#56b4e9", network: "#e69f00", player: "#ffffff" };
const FADES = [["truth", 200], ["network", 1000], ["player", 1800]];  // milliseconds after which each begins to appear
const FADE = 700, MOST_POINTS = 400;

class Board extends Component {
  constructor(root) {
    super(root);
    Object.assign(this, { phase: "cover", points: [], drawing: false });
    this.canvas = root.querySelector("canvas");
    this.context = this.canvas.getContext("2d");
    for (const [name, act] of Object.entries({
      start: () => this.start(), next: () => this.start(), done: () => this.submit(), again: () => this.erase(), none: () => { this.points = []; this.submit(); },
    })) this.find(name).onclick = act;
    this.canvas.addEventListener("pointerdown", (event) => this.down(event));
    this.canvas.addEventListener("pointermove", (event) => this.move(event));
    for (const name of ["pointerup", "pointercancel"]) this.canvas.addEventListener(name, () => { this.drawing = false; });
    new ResizeObserver(() => this.draw()).observe(this.canvas);
  }

  async show(data) {
    const before = this.data;
    this.data = data;
    if (data.next && (!before || !before.next || before.next.image !== data.next.image)) this.upcoming = await picture(data.next.image);
    if (!before && data.last) this.shown = await picture(data.last.image);
    if (before && data.done > before.done) this.reveal();
    else if (!before) data.last ? this.reveal() : this.cover();
  }

  cover() {
    Object.assign(this, { phase: "cover", shown: this.upcoming });  // blurred by the cover
    this.draw();
    this.find("words").textContent = this.data.rules;
    this.find("says").textContent = `The network has outlined them already. Two human readers agree by ${this.data.readers.toFixed(2)}.`;
    this.label(`Round 1 of ${this.data.total}`);
    this.buttons();
  }

  start() {
    if (!this.data.next || !this.upcoming) return;
    Object.assign(this, { phase: "draw", points: [], shown: this.upcoming, number: this.data.next.number, ends: performance.now() + 1000 * this.data.seconds });
    this.find("numbers").replaceChildren();
    this.find("says").textContent = "Draw around the tumour with mouse or finger.";
    this.label(`Round ${this.number + 1} of ${this.data.total}`);
    this.buttons();
    this.tick();
  }

  tick() {
    if (this.phase !== "draw") return;
    const left = Math.max(0, this.ends - performance.now());
    this.find("clock").textContent = Math.ceil(left / 1000);
    if (left === 0 && !this.drawing) return this.submit();
    this.draw();
    requestAnimationFrame(() => this.tick());
  }

  submit() {
    if (this.phase !== "draw") return;
    this.phase = "waiting";
    this.find("clock").textContent = "";
    const every = Math.ceil(this.points.length / MOST_POINTS) || 1;
    this.data.tell({ number: this.number, points: this.points.filter((_, index) => index % every === 0) });
    this.buttons();
  }

  reveal() {
    const { last, readers, total } = this.data;
    this.phase = "reveal";
    this.since = performance.now();
    this.label(`Round ${last.number + 1} of ${total}`);
    const numbers = [["You", last.you, COLOURS.player], ["Network", last.network_dice, COLOURS.network], ...(last.is_empty ? [] : [["Two readers", readers, COLOURS.truth]])];
    this.find("numbers").replaceChildren(...numbers.map(([who, value, colour], index) => {
      const place = made("div", { className: "number" });
      place.style.setProperty("--colour", colour);
      place.style.animationDelay = `${[1.8, 1.0, 2.4][index]}s`;
      place.append(made("b", { textContent: value.toFixed(2) }), made("span", { textContent: who }));
      return place;
    }));
    this.find("says").textContent = last.says;
    this.buttons();
    this.fade();
  }

  fade() {
    if (this.phase !== "reveal") return;
    this.draw();
    if (performance.now() - this.since < 3000) requestAnimationFrame(() => this.fade());
  }

  label(words) { this.find("round").textContent = `${words} · you are ${this.data.player}`; }

  erase() { this.points = []; this.draw(); }

  buttons() {
    const is = (name) => this.phase === name;
    this.find("cover").hidden = !is("cover");
    for (const name of ["none", "again", "done"]) this.find(name).hidden = !is("draw");
    this.find("next").hidden = !is("reveal") || !this.data.next;
  }

  place(event) {
    const box = this.canvas.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height].map((share) => Math.round(1e4 * Math.min(1, Math.max(0, share))) / 1e4);
  }

  down(event) {
    if (this.phase !== "draw") return;
    this.canvas.setPointerCapture(event.pointerId);
    Object.assign(this, { drawing: true, points: [this.place(event)] });
  }

  move(event) { if (this.drawing && this.phase === "draw") this.points.push(this.place(event)); }

  draw() {
    const { canvas, context } = this, side = Math.round(canvas.clientWidth * devicePixelRatio);
    if (!side) return;
    if (canvas.width !== side) canvas.width = canvas.height = side;
    context.globalAlpha = 1;
    context.fillStyle = "#000";
    context.fillRect(0, 0, side, side);
    if (this.shown) context.drawImage(this.shown, 0, 0, side, side);
    if (this.phase === "draw" || this.phase === "waiting") this.line([this.points], COLOURS.player, this.drawing ? "open" : "closed");
    if (this.phase !== "reveal") return;
    const past = performance.now() - this.since;
    for (const [name, begins] of FADES) {
      context.globalAlpha = Math.min(1, Math.max(0, (past - begins) / FADE));
      this.line(this.data.last[name], COLOURS[name], "closed");
    }
  }

  line(outlines, colour, end) {
    const { context, canvas } = this;
    Object.assign(context, { strokeStyle: colour, lineWidth: 2.5 * devicePixelRatio, lineJoin: "round" });
    for (const outline of outlines) {
      context.beginPath();
      outline.forEach(([x, y], index) => context[index ? "lineTo" : "moveTo"](x * canvas.width, y * canvas.height));
      if (end === "closed") context.closePath();
      context.stroke();
    }
  }
}

export default function ({ data, parentElement, setTriggerValue }) {
  parentElement.board ??= new Board(parentElement);
  parentElement.board.show({ ...data, tell: (drawn) => setTriggerValue("drawn", drawn) });
}
