// Playing: step by step, or one step part by part.

import { phasesOf } from "./phases.js";

const PHASE_SECONDS = 3; // that each part of a watched step lasts

export class Player {
  /** @param app {view, views, lastStep, update(changes), goTo(step)} */
  constructor(app) {
    this.app = app;
    this.elapsed = 0; // seconds since the last step or part
  }

  get isWatching() {
    return this.app.view.phase !== null;
  }

  get isAtLastPhase() {
    const { app } = this;
    return this.isWatching && app.view.phase === phasesOf(app.drawn.run.layers).length - 1;
  }

  /** Play on; a watched step that is at its end has the next step after it. */
  play() {
    const { app } = this;
    if (this.isAtLastPhase) app.goTo(app.view.step + 1);
    else if (!this.isWatching && app.view.step >= app.lastStep) app.goTo(app.firstStep);
    this.elapsed = 0;
    this.last = performance.now();
    cancelAnimationFrame(this.frame);
    this.request();
    app.update({ isPlaying: true });
  }

  pause() {
    cancelAnimationFrame(this.frame);
    this.app.update({ isPlaying: false });
  }

  toggle() {
    if (this.app.view.isPlaying) this.pause();
    else this.play();
  }

  request() {
    this.frame = requestAnimationFrame((now) => {
      this.request();
      this.elapsed += Math.max(0, now - this.last) / 1000;
      this.last = now;
      if (this.isWatching) this.advancePhase();
      else this.advanceSteps();
    });
  }

  advanceSteps() {
    const { view, lastStep } = this.app;
    const steps = Math.floor(this.elapsed * view.speed);
    if (!steps) return;
    this.elapsed -= steps / view.speed;
    this.app.goTo(view.step + steps);
    if (view.step >= lastStep) this.pause();
  }

  advancePhase() {
    if (this.elapsed < PHASE_SECONDS) return;
    this.elapsed = 0;
    this.movePhase(1);
    if (this.isAtLastPhase) this.pause();
  }

  /** Move by steps; while a step is watched, by its parts. */
  move(count) {
    this.pause();
    if (this.isWatching) this.movePhase(Math.sign(count));
    else this.app.goTo(this.app.view.step + count);
  }

  movePhase(count) {
    const { app } = this;
    if (count > 0 && this.isAtLastPhase) app.goTo(app.view.step + 1);
    else app.update({ phase: Math.max(0, app.view.phase + count) });
  }

  /** Watch one step, part by part, at the point that is followed, or else at that of the largest loss; or stop. */
  watch() {
    const { app } = this;
    if (this.isWatching || !app.drawn) {
      this.pause();
      app.update({ phase: null });
      return;
    }
    const { losses } = app.drawn.momentAt(app.view.step).training;
    app.update({ phase: 0, selected: null, point: app.view.point ?? losses.indexOf(Math.max(...losses)) });
    this.play();
  }
}
