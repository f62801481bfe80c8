// The points of a map: typed arrays out of base64, what is under the pointer, what is inside a lasso.

const MAP_FULL = 65535;
const MAP_NONE = 65535;

function mapBytes(text) {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let place = 0; place < binary.length; place++) bytes[place] = binary.charCodeAt(place);
  return bytes.buffer;
}

class MapPoints {
  /** Args: positions, base64 of uint16 [n, 2], little-endian. */
  constructor(positions) {
    this.positions = new Uint16Array(mapBytes(positions));
    this.count = this.positions.length / 2;
    this.cells = Math.max(1, Math.min(256, Math.round(Math.sqrt(this.count / 4))));
    this.index();
    this.order = this.shuffled();
    this.box = [MAP_FULL, MAP_FULL, 0, 0];
    for (let row = 0; row < this.count; row++) {
      const [x, y] = [this.positions[2 * row], this.positions[2 * row + 1]];
      this.box = [Math.min(this.box[0], x), Math.min(this.box[1], y), Math.max(this.box[2], x), Math.max(this.box[3], y)];
    }
  }

  cellOf(value) {
    return Math.max(0, Math.min(this.cells - 1, Math.floor((value * this.cells) / (MAP_FULL + 1))));
  }

  /** Sort the rows by cells of a grid: those of cell c are rows[starts[c]] to rows[starts[c + 1]]. */
  index() {
    const { positions, cells, count } = this;
    this.starts = new Uint32Array(cells * cells + 1);
    const cell = new Uint32Array(count);
    for (let row = 0; row < count; row++) {
      cell[row] = this.cellOf(positions[2 * row + 1]) * cells + this.cellOf(positions[2 * row]);
      this.starts[cell[row] + 1]++;
    }
    for (let place = 0; place < cells * cells; place++) this.starts[place + 1] += this.starts[place];
    this.rows = new Uint32Array(count);
    const next = this.starts.slice();
    for (let row = 0; row < count; row++) this.rows[next[cell[row]]++] = row;
  }

  /** The order in which points are drawn: mixed, the same every time, so that no class hides all others. */
  shuffled() {
    const order = new Uint32Array(this.count);
    let state = 1;
    for (let place = 0; place < this.count; place++) {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      const other = Math.floor((state / 4294967296) * (place + 1));
      order[place] = order[other];
      order[other] = place;
    }
    return order;
  }

  /** Give the rows in the cells of a box to a function. */
  within(left, top, right, bottom, take) {
    const [x0, x1] = [this.cellOf(left), this.cellOf(right)];
    for (let y = this.cellOf(top); y <= this.cellOf(bottom); y++) {
      const [start, end] = [this.starts[y * this.cells + x0], this.starts[y * this.cells + x1 + 1]];
      for (let place = start; place < end; place++) take(this.rows[place]);
    }
  }

  /** Return the row nearest to a place, at most so far away; -1 if there is none. */
  nearest(x, y, reach) {
    let best = -1, least = reach * reach;
    this.within(x - reach, y - reach, x + reach, y + reach, (row) => {
      const [dx, dy] = [this.positions[2 * row] - x, this.positions[2 * row + 1] - y];
      if (dx * dx + dy * dy <= least) { best = row; least = dx * dx + dy * dy; }
    });
    return best;
  }

  /** Return the rows inside a polygon [[x, y], …], in order. */
  inside(polygon) {
    if (polygon.length < 3) return [];
    const [xs, ys] = [polygon.map((at) => at[0]), polygon.map((at) => at[1])];
    const found = [];
    this.within(Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys), (row) => {
      const [x, y] = [this.positions[2 * row], this.positions[2 * row + 1]];
      let inside = false;
      for (let a = 0, b = polygon.length - 1; a < polygon.length; b = a++) {
        if (ys[a] > y !== ys[b] > y && x < ((xs[b] - xs[a]) * (y - ys[a])) / (ys[b] - ys[a]) + xs[a]) inside = !inside;
      }
      if (inside) found.push(row);
    });
    return Array.from(Uint32Array.from(found).sort());
  }
}
