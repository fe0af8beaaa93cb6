// The drawing surface of the notebook panel. Coordinates sent to Python are (y, x) in image
// pixels, centres at whole numbers; one message per stroke, on pointer-up.

const ZOOM_MOST = 40;

function bitmapOf(bytes) {
  if (!bytes || !bytes.byteLength) return Promise.resolve(null);
  return createImageBitmap(new Blob([bytes], { type: "image/png" }));
}

function keyName(event) {
  const modifiers = (event.ctrlKey || event.metaKey ? "Control-" : "") +
    (event.ctrlKey && event.shiftKey ? "Shift-" : "");
  return modifiers + (event.key.length === 1 ? event.key.toUpperCase() : event.key);
}

class Surface {
  constructor(model, canvas) {
    this.model = model;
    this.canvas = canvas;
    this.layers = { picture: null, shade: null, strokes: null };
    this.view = { scale: 1, left: 0, top: 0 };
    this.live = null;
    this.waiting = [];
    this.pointer = null;
    this.pan = null;
  }

  get(name) { return this.model.get(name); }

  async load(name) {
    const asked = this.get(name);
    const bitmap = await bitmapOf(asked);
    if (asked !== this.get(name)) return;
    this.layers[name] = bitmap;
    if (name === "strokes") this.waiting = [];
    this.draw();
  }

  // The stroke stays until the label image that holds it has been decoded: no flicker.
  forget(stroke) {
    setTimeout(() => {
      this.waiting = this.waiting.filter((other) => other !== stroke);
      this.draw();
    }, 400);
  }

  fit(box) {
    const [y0, x0, y1, x1] = box && box.length ? box : [0, 0, this.get("height"), this.get("width")];
    const { clientWidth: width, clientHeight: height } = this.canvas;
    if (!width || !height) return;
    const scale = Math.min(width / (x1 - x0), height / (y1 - y0), ZOOM_MOST);
    this.view = {
      scale,
      left: width / 2 - scale * (x0 + x1) / 2,
      top: height / 2 - scale * (y0 + y1) / 2,
    };
    this.draw();
  }

  place(event) {
    const frame = this.canvas.getBoundingClientRect();
    const { scale, left, top } = this.view;
    return [
      (event.clientY - frame.top - top) / scale - 0.5,
      (event.clientX - frame.left - left) / scale - 0.5,
    ];
  }

  resize() {
    const ratio = window.devicePixelRatio || 1;
    this.canvas.width = Math.round(this.canvas.clientWidth * ratio);
    this.canvas.height = Math.round(this.canvas.clientHeight * ratio);
    this.fit();
  }

  draw() {
    const context = this.canvas.getContext("2d");
    const ratio = window.devicePixelRatio || 1;
    const { scale, left, top } = this.view;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    context.setTransform(ratio * scale, 0, 0, ratio * scale, ratio * left, ratio * top);
    context.imageSmoothingEnabled = scale < 1;
    const size = [0, 0, this.get("width"), this.get("height")];
    for (const [name, opacity] of [["picture", 1], ["shade", this.get("opacity")], ["strokes", 1]]) {
      context.globalAlpha = opacity;
      if (this.layers[name]) context.drawImage(this.layers[name], ...size);
    }
    context.globalAlpha = 1;
    for (const stroke of [...this.waiting, ...(this.live ? [this.live] : [])]) this.trace(context, stroke);
    this.frame(context, scale);
    this.brush(context, scale);
  }

  trace(context, { points, radius, colour }) {
    context.strokeStyle = colour;
    context.lineWidth = Math.max(1, 2 * radius);
    context.lineCap = context.lineJoin = "round";
    context.beginPath();
    points.forEach(([y, x], i) => context[i ? "lineTo" : "moveTo"](x + 0.5, y + 0.5));
    if (points.length === 1) context.lineTo(points[0][1] + 0.5, points[0][0] + 0.501);
    context.stroke();
  }

  frame(context, scale) {
    const box = this.get("box");
    if (!box.length) return;
    const [y0, x0, y1, x1] = box;
    for (const [colour, width] of [["black", 4], ["white", 2]]) {
      context.strokeStyle = colour;
      context.lineWidth = width / scale;
      context.strokeRect(x0, y0, x1 - x0, y1 - y0);
    }
  }

  brush(context, scale) {
    if (!this.pointer || this.pan) return;
    const [y, x] = this.pointer;
    for (const [colour, width] of [["black", 3], [this.colour(), 1.5]]) {
      context.strokeStyle = colour;
      context.lineWidth = width / scale;
      context.beginPath();
      context.arc(x + 0.5, y + 0.5, Math.max(0.5, this.get("radius")), 0, 2 * Math.PI);
      context.stroke();
    }
  }

  colour() {
    const code = this.get("code");
    return code ? this.get("colours")[code - 1] : "#ffffff";
  }

  down(event) {
    event.preventDefault();
    this.canvas.focus({ preventScroll: true });
    this.canvas.setPointerCapture(event.pointerId);
    if (event.button === 1 || event.shiftKey) {
      this.pan = { x: event.clientX - this.view.left, y: event.clientY - this.view.top };
    } else if (event.button === 0) {
      this.live = {
        points: [this.place(event)], radius: this.get("radius"), code: this.get("code"),
        colour: this.colour(), start: performance.now(),
      };
    }
    this.draw();
  }

  move(event) {
    this.pointer = this.place(event);
    if (this.pan) {
      this.view.left = event.clientX - this.pan.x;
      this.view.top = event.clientY - this.pan.y;
    } else if (this.live) {
      const all = event.getCoalescedEvents ? event.getCoalescedEvents() : [];
      for (const one of all.length ? all : [event]) this.live.points.push(this.place(one));
    }
    this.draw();
  }

  up(event) {
    if (this.live) {
      const { points, radius, code, start } = this.live;
      this.waiting.push(this.live);
      const seconds = (performance.now() - start) / 1000;
      this.model.send({ kind: "stroke", points, radius, code, seconds });
    }
    this.live = this.pan = null;
    this.draw();
  }

  wheel(event) {
    event.preventDefault();
    const frame = this.canvas.getBoundingClientRect();
    const [x, y] = [event.clientX - frame.left, event.clientY - frame.top];
    const scale = Math.min(ZOOM_MOST, Math.max(0.05, this.view.scale * Math.exp(-event.deltaY / 400)));
    const change = scale / this.view.scale;
    this.view = {
      scale, left: x - change * (x - this.view.left), top: y - change * (y - this.view.top),
    };
    this.draw();
  }

  key(event) {
    const name = keyName(event);
    if (name === "F") this.fit();
    else if (this.get("known_keys").includes(name)) this.model.send({ kind: "key", key: name });
    else return;
    event.preventDefault();
    event.stopPropagation();
  }
}

function render({ model, el }) {
  const canvas = document.createElement("canvas");
  canvas.className = "limsup-canvas";
  canvas.tabIndex = 0;
  canvas.setAttribute("role", "img");
  // JupyterLab's own one-letter shortcuts would otherwise take the keys first.
  canvas.setAttribute("data-lm-suppress-shortcuts", "true");
  el.appendChild(canvas);
  const surface = new Surface(model, canvas);

  const label = () => canvas.setAttribute("aria-label", model.get("label"));
  const shape = () => {
    canvas.style.aspectRatio = `${model.get("width")} / ${model.get("height")}`;
    surface.resize();
  };
  const redraw = () => surface.draw();
  const listeners = [
    ["change:label", label], ["change:width change:height", shape],
    ["change:opacity change:box change:colours change:code change:radius", redraw],
    ["change:look", () => surface.fit(model.get("look"))],
    ["msg:custom", (message) => {
      if (message.kind === "done") surface.forget(surface.waiting[0]);
    }],
    ...["picture", "shade", "strokes"].map((name) => [`change:${name}`, () => surface.load(name)]),
  ];
  for (const [names, listener] of listeners) {
    for (const name of names.split(" ")) model.on(name, listener);
  }
  canvas.addEventListener("pointerdown", (event) => surface.down(event));
  canvas.addEventListener("pointermove", (event) => surface.move(event));
  canvas.addEventListener("pointerup", (event) => surface.up(event));
  canvas.addEventListener("pointercancel", (event) => surface.up(event));
  canvas.addEventListener("pointerleave", () => { surface.pointer = null; surface.draw(); });
  canvas.addEventListener("wheel", (event) => surface.wheel(event), { passive: false });
  canvas.addEventListener("keydown", (event) => surface.key(event));
  canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  const watcher = new ResizeObserver(() => surface.resize());
  watcher.observe(canvas);
  label();
  shape();
  for (const name of ["picture", "shade", "strokes"]) surface.load(name);

  return () => {
    watcher.disconnect();
    for (const [names, listener] of listeners) {
      for (const name of names.split(" ")) model.off(name, listener);
    }
  };
}

export default { render };
