/** Speed averages how fast bytes go, over the last few seconds. */
export class Speed {
  private points: { at: number; sent: number }[] = [];

  constructor(private readonly overMs = 5_000) {}

  add(sent: number, at = Date.now()): void {
    // What is sent again after a resume is no progress.
    if (this.points.length && sent < this.points.at(-1)!.sent) this.points = [];
    this.points.push({ at, sent });
    while (this.points.length > 2 && at - this.points[0]!.at > this.overMs) this.points.shift();
  }

  /** Bytes per second; undefined until it is known. */
  perSecond(): number | undefined {
    const first = this.points[0];
    const last = this.points.at(-1);
    if (!first || !last || last.at - first.at < 500) return undefined;
    return ((last.sent - first.sent) * 1000) / (last.at - first.at);
  }

  reset(): void {
    this.points = [];
  }
}
