"use strict";

// Points in 3D on a plain 2D canvas: discs drawn from far to near, lit from the viewer's upper left.

const VIEWER_DISTANCE = 4.2; // in radii of the cloud
const LIGHT = [-0.36, 0.48, 0.8]; // right, up, toward the viewer
const START = { azimuth: 0.7, elevation: 0.42, roll: 0, zoom: 1 };

function bytesOf(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}

function unpackCloud(packed) {
  const xyz = new Int16Array(bytesOf(packed.xyz).buffer);
  return {
    count: packed.count,
    total: packed.total,
    xyz,
    discSize: discSize(xyz, packed.count),
    normal: new Int8Array(bytesOf(packed.normal).buffer),
    layers: packed.layers.map(([name, colors]) => ({ name, colors: bytesOf(colors) })),
  };
}

// Radius of the discs, in radii of the cloud, that nearly closes the surface: from how far apart some neighbours are.
function discSize(xyz, count) {
  const gaps = [];
  const step = Math.max(1, Math.floor(count / 64));
  for (let i = 0; i < count; i += step) {
    let nearest = Infinity;
    for (let j = 0; j < count; j++) {
      const gap = (xyz[3 * i] - xyz[3 * j]) ** 2 + (xyz[3 * i + 1] - xyz[3 * j + 1]) ** 2 + (xyz[3 * i + 2] - xyz[3 * j + 2]) ** 2;
      if (gap < nearest && j !== i) nearest = gap;
    }
    gaps.push(Math.sqrt(nearest) / 32767);
  }
  const middle = gaps.sort((a, b) => a - b)[gaps.length >> 1] ?? 0;
  return Math.max(0.012, Math.min(0.045, 1.2 * middle));
}

function axesOf(pose) {
  const [ca, sa] = [Math.cos(pose.azimuth), Math.sin(pose.azimuth)];
  const [ce, se] = [Math.cos(pose.elevation), Math.sin(pose.elevation)];
  const toward = [ce * ca, ce * sa, se];
  const level = [-sa, ca, 0];
  const upright = [-se * ca, -se * sa, ce];
  const [cr, sr] = [Math.cos(pose.roll), Math.sin(pose.roll)];
  return {
    toward,
    right: level.map((value, axis) => value * cr + upright[axis] * sr),
    up: upright.map((value, axis) => value * cr - level[axis] * sr),
  };
}

function colorVariable(element, name) {
  return getComputedStyle(element).getPropertyValue(name).trim().split(/\s+/).map(Number);
}

function drawCloud(canvas, cloud, pose, colors, ink, ground) {
  const context = canvas.getContext("2d");
  const { width, height } = canvas;
  context.clearRect(0, 0, width, height);
  const { right, up, toward } = axesOf(pose);
  const scale = Math.min(width, height) * 0.45 * pose.zoom;
  const size = Math.max(1, scale * cloud.discSize);
  const depth = new Float32Array(cloud.count);
  const dot = (array, at, axis) => array[at] * axis[0] + array[at + 1] * axis[1] + array[at + 2] * axis[2];
  for (let i = 0; i < cloud.count; i++) depth[i] = dot(cloud.xyz, 3 * i, toward) / 32767;
  const order = Array.from(depth.keys()).sort((a, b) => depth[a] - depth[b]);
  for (const i of order) {
    const near = VIEWER_DISTANCE / (VIEWER_DISTANCE - depth[i]);
    const x = width / 2 + (dot(cloud.xyz, 3 * i, right) / 32767) * scale * near;
    const y = height / 2 - (dot(cloud.xyz, 3 * i, up) / 32767) * scale * near;
    const facing = [dot(cloud.normal, 3 * i, right), dot(cloud.normal, 3 * i, up), dot(cloud.normal, 3 * i, toward)];
    const side = facing[2] < 0 ? -1 : 1; // surfaces have two sides: the one that is seen is lit
    const light = Math.max(0, (side * (facing[0] * LIGHT[0] + facing[1] * LIGHT[1] + facing[2] * LIGHT[2])) / 127);
    const bright = colors ? 0.62 + 0.42 * light : 0.42 + 0.68 * light;
    const mist = 0.5 * (1 - (depth[i] + 1) / 2); // what is far fades into the ground
    const mixed = [0, 1, 2].map((part) => {
      const own = Math.min(255, (colors ? colors[3 * i + part] : ink[part]) * bright);
      return Math.round(own * (1 - mist) + ground[part] * mist);
    });
    context.fillStyle = `rgb(${mixed[0]},${mixed[1]},${mixed[2]})`;
    context.beginPath();
    context.arc(x, y, size * near, 0, 6.2832);
    context.fill();
  }
}

class CloudView {
  constructor(canvas, onSpin) {
    this.canvas = canvas;
    this.onSpin = onSpin;
    this.cloud = null;
    this.colors = null;
    this.pose = { ...START };
    this.goal = null;
    this.spinning = false;
    this.pointers = new Map();
    this.frame = 0;
    new ResizeObserver(() => this.resize()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.readColors());
    canvas.addEventListener("pointerdown", (event) => this.grab(event));
    canvas.addEventListener("pointermove", (event) => this.drag(event));
    for (const name of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(name, (event) => this.pointers.delete(event.pointerId));
    }
    canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    canvas.addEventListener("dblclick", () => this.turnTo({ ...START }));
  }

  show(cloud, colors, keepPose) {
    this.cloud = cloud;
    this.colors = colors;
    if (!keepPose) {
      this.pose = { ...START };
      this.goal = null;
    }
    this.readColors();
  }

  hide() {
    this.cloud = null;
    this.pointers.clear();
    cancelAnimationFrame(this.frame);
    this.frame = 0;
  }

  spin(on) {
    this.spinning = on;
    if (on) this.goal = null;
    this.onSpin(on);
    this.request();
  }

  turn(across, down) {
    const [cr, sr] = [Math.cos(this.pose.roll), Math.sin(this.pose.roll)];
    this.goal = null;
    this.pose.azimuth -= across * cr - down * sr;
    this.pose.elevation = Math.max(-1.5707, Math.min(1.5707, this.pose.elevation + down * cr + across * sr));
    this.touched();
  }

  turnTo(pose) {
    const nearest = (from, to) => to + Math.round((from - to) / 6.283185307) * 6.283185307;
    this.goal = {
      azimuth: nearest(this.pose.azimuth, pose.azimuth),
      elevation: pose.elevation,
      roll: nearest(this.pose.roll, pose.roll),
      zoom: pose.zoom ?? this.pose.zoom,
    };
    this.touched();
  }

  zoom(factor) {
    this.pose.zoom = Math.max(0.4, Math.min(8, this.pose.zoom * factor));
    this.touched();
  }

  touched() {
    if (this.spinning) this.spin(false);
    this.request();
  }

  grab(event) {
    this.canvas.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, event);
    this.touched();
  }

  drag(event) {
    const before = this.pointers.get(event.pointerId);
    if (!before) return;
    const other = [...this.pointers.values()].find((pointer) => pointer.pointerId !== event.pointerId);
    this.pointers.set(event.pointerId, event);
    if (other) {
      const gap = (pointer) => Math.hypot(pointer.clientX - other.clientX, pointer.clientY - other.clientY) || 1;
      this.zoom(gap(event) / gap(before));
    } else {
      this.turn((event.clientX - before.clientX) * 0.009, (event.clientY - before.clientY) * 0.009);
    }
  }

  wheel(event) {
    event.preventDefault();
    this.zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.03 : 0.0012)));
  }

  readColors() {
    this.ink = colorVariable(this.canvas, "--cloud-ink");
    this.ground = colorVariable(this.canvas, "--cloud-ground");
    this.resize();
  }

  resize() {
    const sharp = Math.min(2, devicePixelRatio || 1);
    this.canvas.width = Math.round(this.canvas.clientWidth * sharp);
    this.canvas.height = Math.round(this.canvas.clientHeight * sharp);
    this.request();
  }

  request() {
    if (!this.frame && this.cloud) this.frame = requestAnimationFrame((now) => this.step(now));
  }

  step(now) {
    this.frame = 0;
    if (!this.cloud) return;
    const seconds = Math.min(0.1, (now - (this.last ?? now)) / 1000);
    this.last = now;
    if (this.spinning) this.pose.azimuth += 0.4 * seconds;
    if (this.goal) {
      const share = 1 - Math.exp(-9 * Math.max(seconds, 0.016));
      let left = 0;
      for (const name in this.goal) {
        left += Math.abs(this.goal[name] - this.pose[name]);
        this.pose[name] += (this.goal[name] - this.pose[name]) * share;
      }
      if (left < 0.002) this.goal = null;
    }
    drawCloud(this.canvas, this.cloud, this.pose, this.colors, this.ink, this.ground);
    if (this.spinning || this.goal) this.request();
    else this.last = undefined;
  }
}
