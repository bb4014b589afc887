/**
 * Which kinds of other projects are installed, asked of the API server when somebody needs to know: they come and go while
 * the operator runs. Everybody may ask (`system:discovery`), so no permission is needed for what is not there.
 */
import { discoveryOf, type Kind } from "./kinds.ts";

/** For how long an answer counts: a start with many resources asks once. */
const ANSWER_KEPT_MS = 5_000;

interface Answer {
  readonly plurals: Promise<readonly string[]>;
  readonly askedAtMs: number;
}

/** Answers of the last seconds, by the path they were asked at. */
export class Discovery {
  readonly #ask: (path: string) => Promise<readonly string[]>;
  readonly #nowMs: () => number;
  readonly #answers = new Map<string, Answer>();

  /** `ask`: plural names of the kinds served at a path; none where the path is not served. */
  constructor(
    ask: (path: string) => Promise<readonly string[]>,
    nowMs: () => number = () => performance.now(),
  ) {
    this.#ask = ask;
    this.#nowMs = nowMs;
  }

  /**
   * Whether a kind is served. Where it is `asked` for, a no of the last seconds is not believed: whoever waits for it is woken
   * when it is installed, and must not be told otherwise.
   */
  async serves(kind: Kind, { asked }: { readonly asked: boolean }): Promise<boolean> {
    const { path, plural } = discoveryOf(kind);
    const kept = this.#answers.get(path);
    if (kept !== undefined && this.#nowMs() - kept.askedAtMs < ANSWER_KEPT_MS) {
      const served = (await kept.plurals).includes(plural);
      if (served || !asked) return served;
    }
    const plurals = this.#ask(path);
    const answer = { plurals, askedAtMs: this.#nowMs() };
    this.#answers.set(path, answer);
    try {
      return (await plurals).includes(plural);
    } catch (error) {
      if (this.#answers.get(path) === answer) this.#answers.delete(path);
      throw error;
    }
  }
}
