// A run: its network, its points, and its weights at each step.

/** What the manifest, the blobs and the series of a run hold. */
export class Run {
  /** Load a run. */
  static async open(source, name) {
    const run = new Run();
    Object.assign(run, { source, name, manifest: await source.manifest(name), series: {} });
    Object.assign(run, { rows: new Float32Array(), batches: [] });
    const { points, inputs } = run.manifest;
    if (run.isDrawn) {
      run.training = await run.loadPoints("training", points.training, inputs.length);
      run.validation = await run.loadPoints("validation", points.validation, inputs.length);
    }
    await run.loadWhatIsNew();
    return run;
  }

  /** Whether the net is fully connected and its weights are known, so that each neuron can be drawn. */
  get isDrawn() {
    return this.manifest.model.kind === "mlp";
  }

  /** Whether no step has been recorded yet. */
  get isEmpty() {
    return this.isDrawn ? !this.rows.length : !this.manifest.steps;
  }

  get layers() {
    return this.manifest.model.layers;
  }

  get isOnPlane() {
    return this.isDrawn && this.manifest.inputs.length === 2;
  }

  get firstStep() {
    return this.manifest.first;
  }

  /** The last step there is to show; of a run whose weights are known, the end, which no update follows. */
  get lastStep() {
    if (!this.isDrawn) return Math.max(this.firstStep, this.manifest.steps - 1);
    return this.firstStep + this.rows.length / this.manifest.size - 1;
  }

  /** Load what has come since. */
  async refresh() {
    this.manifest = await this.source.manifest(this.name);
    await this.loadWhatIsNew();
  }

  /** Return all weights before a step, or null where there are none. */
  weights(step) {
    const { size } = this.manifest;
    if (step < this.firstStep || step > this.lastStep) return null;
    return this.rows.subarray((step - this.firstStep) * size, (step - this.firstStep + 1) * size);
  }

  /** Return {indices, shares} of the training points that a step trained on; null: all of them, in one batch. */
  batchesOf(step) {
    return this.batches[step - this.firstStep] ?? null;
  }

  async loadWhatIsNew() {
    const { series } = this.manifest;
    const shown = series.filter((tag) => tag === "train/loss" || (!this.isDrawn && !tag.startsWith("val/")));
    const loaded = shown.map(async (tag) => [tag, await this.loadSeries(tag)]);
    this.series = Object.fromEntries(await Promise.all(loaded));
    if (this.isDrawn) await this.loadSteps();
  }

  /** Load the weights after the last step that is known, and those of all steps that have come since. */
  async loadSteps() {
    const { batches, accumulate, size } = this.manifest;
    const known = Math.max(0, this.rows.length / size - 1);
    const added = new Float32Array(await this.source.blob(this.name, "weights", this.firstStep + known));
    const rows = new Float32Array(known * size + added.length);
    rows.set(this.rows.subarray(0, known * size));
    rows.set(added, known * size);
    if (batches) {
      const numbers = new Uint32Array(await this.source.blob(this.name, "batches", this.firstStep + known));
      this.batches = [...this.batches.slice(0, known), ...readBatches(numbers, accumulate)];
    }
    this.rows = rows;
  }

  /** Return {steps, values} of a tag. */
  async loadSeries(tag) {
    const bytes = await this.source.series(this.name, tag);
    const count = bytes.byteLength / 8;
    return { steps: new Uint32Array(bytes, 0, count), values: new Float32Array(bytes, 4 * count, count) };
  }

  async loadPoints(name, count, width) {
    const rows = count ? new Float32Array(await this.source.blob(this.name, name)) : new Float32Array();
    const inputs = new Float32Array(count * width);
    const classes = new Float32Array(count);
    for (let n = 0; n < count; n++) {
      inputs.set(rows.subarray(n * (width + 1), n * (width + 1) + width), n * width);
      classes[n] = rows[n * (width + 1) + width];
    }
    return { count, inputs, classes };
  }
}

/**
 * Return, for each step, the indices of the points of its batches, and each point's share of the step's loss.
 *
 * @param numbers for each step: how many batches, and for each batch how many points, and their indices.
 * @param accumulate of how many batches a step's gradient is the mean.
 */
function readBatches(numbers, accumulate) {
  const steps = [];
  for (let at = 0; at < numbers.length; ) {
    const [indices, shares] = [[], []];
    const batches = numbers[at++];
    for (let batch = 0; batch < batches; batch++) {
      const count = numbers[at++];
      indices.push(...numbers.subarray(at, at + count));
      shares.push(...new Array(count).fill(1 / count / accumulate));
      at += count;
    }
    steps.push({ indices, shares });
  }
  return steps;
}
