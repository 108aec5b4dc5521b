// Networks learn the same slices, epoch by epoch, while their curves draw themselves.
const SECONDS = 10, ORANGE = "#e69f00", BLUE = "#56b4e9";

class Race extends Component {
  constructor(root) {
    super(root);
    Object.assign(this, { share: 0 });
    this.slider = root.querySelector("input");
    this.slider.addEventListener("input", () => { this.show(this.slider.value / 1000); this.stop(); });
    this.find("play").onclick = () => (this.playing ? this.stop() : this.play());
  }

  async begin(data) {
    const runners = data.runners.map(({ name, epochs }) => `${name} ${epochs}`).join();
    if (this.runners === runners) return;
    this.stop();
    Object.assign(this, { runners, data, share: 0 });
    this.find("heads").replaceChildren();
    this.root.querySelector("svg").replaceChildren();
    this.find("heads").classList.toggle("alone", data.runners.length === 1);
    this.pictures = await Promise.all(data.slices.map(({ image }) => picture(image)));
    this.boards = data.runners.map((runner) => {
      const section = made("section", { className: "runner" });
      section.style.setProperty("--colour", runner.colour);
      const row = document.createElement("div");
      const boards = data.slices.map(({ name }) => {
        const figure = document.createElement("figure"), canvas = document.createElement("canvas"), words = document.createElement("figcaption");
        canvas.width = canvas.height = 384;
        canvas.setAttribute("role", "img");
        canvas.setAttribute("aria-label", `${name}, outlined by ${runner.name}`);
        figure.append(canvas, words);
        row.append(figure);
        return { figure, canvas, words };
      });
      boards.heading = made("h3", { textContent: runner.name });
      section.append(boards.heading, row);
      this.find("heads").append(section);
      return boards;
    });
    for (const runner of data.runners) {
      const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
      path.style.stroke = runner.colour;
      this.root.querySelector("svg").append(path);
    }
    matchMedia("(prefers-reduced-motion: reduce)").matches ? this.show(1) : this.play();
  }

  play() {
    if (this.share >= 1) this.share = 0;
    this.playing = true;
    this.find("play").textContent = "Pause";
    let before = performance.now();
    const step = () => {
      if (!this.playing) return;
      const now = performance.now();
      this.show(Math.min(1, this.share + (now - before) / 1000 / SECONDS));
      before = now;
      this.share < 1 ? requestAnimationFrame(step) : this.stop();
    };
    step();
  }

  stop() {
    this.playing = false;
    this.find("play").textContent = this.share >= 1 ? "Play again" : "Play";
  }

  show(share) {
    const { runners, slices, hardest, words } = this.data;
    this.share = share;
    this.slider.value = 1000 * share;
    const ends = share >= 1;
    runners.forEach((runner, at) => {
      const last = runner.epochs - 1, epoch = Math.round(share * last);
      this.boards[at].heading.textContent = `${runner.name}, epoch ${epoch + 1} of ${runner.epochs}`;
      this.slider.setAttribute("aria-valuetext", `epoch ${epoch + 1} of ${runner.epochs}`);
      if (this.boards[at].shown !== epoch || ends) {
        this.boards[at].shown = epoch;
        slices.forEach((slice, index) => {
          const { figure, canvas, words: label } = this.boards[at][index];
          draw(canvas, this.pictures[index], slice.truth, runner.outlines[index][epoch]);
          label.textContent = `${slice.name} · Dice ${runner.dice[index][epoch].toFixed(2)}`;
          figure.classList.toggle("past", ends && index !== hardest);
        });
      }
      this.root.querySelectorAll("path")[at].setAttribute("d", curve(runner.curve, share));
    });
    this.find("says").textContent = ends ? words.end : words.during;
  }
}

function curve(values, share) {
  const count = Math.max(1, Math.round(share * (values.length - 1)) + 1);
  return values.slice(0, count).map((value, index) => `${index ? "L" : "M"}${(300 * index / (values.length - 1)).toFixed(1)},${(78 - 76 * value).toFixed(1)}`).join(" ");
}

function draw(canvas, image, truth, outlines) {
  const context = canvas.getContext("2d"), side = canvas.width;
  context.drawImage(image, 0, 0, side, side);
  for (const [shapes, colour, dash] of [[truth, BLUE, [6, 5]], [outlines, ORANGE, []]]) {
    Object.assign(context, { strokeStyle: colour, lineWidth: 3, lineJoin: "round" });
    context.setLineDash(dash);
    for (const shape of shapes) {
      context.beginPath();
      shape.forEach(([x, y], index) => context[index ? "lineTo" : "moveTo"](x * side, y * side));
      context.closePath();
      context.stroke();
    }
  }
}

export default function ({ data, parentElement }) {
  parentElement.race ??= new Race(parentElement);
  parentElement.race.begin(data);
}
