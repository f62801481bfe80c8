// Draws points on a canvas: by WebGL2 on a graphics card, else as pixels in memory, which is faster than WebGL2 in software.

const MAP_VERTEX = `#version 300 es
in vec2 place; in vec4 colour; in float shape;
uniform vec2 scale; uniform vec2 shift; uniform float size;
out vec4 tint; flat out float kind;
void main() { gl_Position = vec4(place * scale + shift, 0.0, 1.0); gl_PointSize = (size + (colour.a < 0.9 ? 0.0 : min(2.0, 0.25 * size))) * (shape > 1.5 ? 1.3 : 1.0); tint = vec4(colour.rgb, 1.0); kind = shape; }`;
const MAP_FRAGMENT = `#version 300 es
precision highp float;
in vec4 tint; flat in float kind; uniform float size; uniform vec4 rim;
out vec4 found;
void main() {
  vec2 at = abs(gl_PointCoord - 0.5) * 2.0; float y = gl_PointCoord.y * 2.0 - 1.0; float far;
  if (kind < 0.5) far = length(at);
  else if (kind < 1.5) far = max(at.x, at.y) * 1.14;
  else if (kind < 2.5) far = max(at.x * 0.9 + (0.45 - 0.5 * y), y * 1.2 + 0.02);
  else far = at.x + at.y;
  float edge = 2.0 / size;
  float cover = 1.0 - smoothstep(1.0 - edge, 1.0, far);
  if (cover <= 0.0) discard;
  float border = size > 7.0 ? smoothstep(1.0 - edge * 1.9, 1.0 - edge * 1.1, far) : 0.0;
  found = mix(tint, rim, border) * cover;
}`;

const MAP_SOFTWARE = /swiftshader|llvmpipe|softpipe|software|basic render/i; // what computes WebGL2 without a graphics card

/** Both kinds: `load` takes what is drawn in the order of drawing, `draw` a view {scale, x, y} in pixels of the canvas. */
class MapGl {
  constructor(canvas, software) {
    const gl = canvas.getContext("webgl2", { antialias: false, failIfMajorPerformanceCaveat: !software });
    if (!gl) throw new Error("no WebGL2");
    const more = gl.getExtension("WEBGL_debug_renderer_info");
    if (!software && MAP_SOFTWARE.test(gl.getParameter(more ? more.UNMASKED_RENDERER_WEBGL : gl.RENDERER))) throw new Error("no graphics card");
    [this.gl, this.canvas] = [gl, canvas];
    this.kind = "WebGL2";
    const program = gl.createProgram();
    for (const [kind, text] of [[gl.VERTEX_SHADER, MAP_VERTEX], [gl.FRAGMENT_SHADER, MAP_FRAGMENT]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, text);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS)) throw new Error("WebGL2 cannot draw here");
    gl.useProgram(program);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    this.uniform = Object.fromEntries(["scale", "shift", "size", "rim"].map((name) => [name, gl.getUniformLocation(program, name)]));
    this.buffers = {};
    for (const [name, size, type] of [["place", 2, gl.UNSIGNED_SHORT], ["colour", 4, gl.UNSIGNED_BYTE], ["shape", 1, gl.UNSIGNED_BYTE]]) {
      const at = gl.getAttribLocation(program, name);
      this.buffers[name] = gl.createBuffer();
      gl.bindBuffer(gl.ARRAY_BUFFER, this.buffers[name]);
      gl.enableVertexAttribArray(at);
      gl.vertexAttribPointer(at, size, type, name !== "shape", 0, 0);
    }
  }

  load(places, colours, shapes) {
    const gl = this.gl;
    for (const [name, values] of [["place", places], ["colour", colours], ["shape", shapes]]) {
      gl.bindBuffer(gl.ARRAY_BUFFER, this.buffers[name]);
      gl.bufferData(gl.ARRAY_BUFFER, values, gl.DYNAMIC_DRAW);
    }
    this.count = shapes.length;
  }

  draw(view, size, rim) {
    const { gl, uniform } = this, { width, height } = gl.canvas;
    gl.viewport(0, 0, width, height);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT);
    const whole = view.scale * MAP_FULL;
    gl.uniform2f(uniform.scale, (2 * whole) / width, (-2 * whole) / height);
    gl.uniform2f(uniform.shift, (2 * view.x) / width - 1, 1 - (2 * view.y) / height);
    gl.uniform1f(uniform.size, size);
    gl.uniform4f(uniform.rim, rim[0] / 255, rim[1] / 255, rim[2] / 255, 1);
    if (this.count) gl.drawArrays(gl.POINTS, 0, this.count);
  }
}

class MapPixels {
  constructor(canvas) {
    [this.context, this.canvas] = [canvas.getContext("2d"), canvas];
    this.kind = "canvas";
  }

  load(places, colours, shapes) {
    [this.places, this.shapes] = [places, shapes];
    this.colours = new Uint32Array(colours.length / 4);
    const bright = new DataView(this.colours.buffer);
    for (let k = 0; k < this.colours.length; k++) {
      for (let part = 0; part < 3; part++) bright.setUint8(4 * k + part, colours[4 * k + part]);
      bright.setUint8(4 * k + 3, 255);
    }
  }

  /** The pixels of a shape around its middle: [x, y, x, y, …]. */
  stamp(shape, size) {
    const half = Math.max(1, size) / 2, found = [];
    for (let y = Math.ceil(-half); y < half; y++) {
      for (let x = Math.ceil(-half); x < half; x++) {
        const [across, down] = [Math.abs(x + 0.5) / half, (y + 0.5) / half];
        const far = [Math.hypot(across, down), Math.max(across, Math.abs(down)), Math.max(across * 0.9 + 0.45 - 0.5 * down, down), across + Math.abs(down)][shape];
        if (far <= 1.05) found.push(x, y);
      }
    }
    return Int16Array.from(found.length ? found : [0, 0]);
  }

  draw(view, size) {
    const { width, height } = this.context.canvas, { places, shapes, colours } = this;
    if (!this.image || this.image.width !== width || this.image.height !== height) {
      this.image = this.context.createImageData(width, height);
      this.pixels = new Uint32Array(this.image.data.buffer);
    }
    this.pixels.fill(0);
    const stamps = [0, 1, 2, 3].map((shape) => this.stamp(shape, shape > 1 ? 1.3 * size : size));
    for (let k = 0; k < shapes.length; k++) {
      const x = Math.round(view.x + places[2 * k] * view.scale), y = Math.round(view.y + places[2 * k + 1] * view.scale);
      if (x < -size || y < -size || x > width + size || y > height + size) continue;
      const stamp = stamps[shapes[k]], colour = colours[k];
      for (let at = 0; at < stamp.length; at += 2) {
        const column = x + stamp[at], line = y + stamp[at + 1];
        if (column >= 0 && column < width && line >= 0 && line < height) this.pixels[line * width + column] = colour;
      }
    }
    this.context.putImageData(this.image, 0, 0);
  }
}

/** Return what draws, with its new canvas; `kind` is "canvas", "webgl" (also in software), or nothing: what is fast. */
function mapDrawing(kind) {
  if (kind !== "canvas") {
    try { return new MapGl(document.createElement("canvas"), kind === "webgl"); } catch { /* then pixels, on a canvas that never had another context */ }
  }
  return new MapPixels(document.createElement("canvas"));
}
