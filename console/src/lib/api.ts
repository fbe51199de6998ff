// The client of the JSON API, which is at the same origin as this page.

export interface FieldError {
  field: string;
  detail: string;
}

/** What the API answers where it refuses (RFC 9457). */
export interface Problem {
  type: string;
  title: string;
  status: number;
  detail?: string;
  instance?: string;
  errors?: FieldError[];
}

/** A request that failed, in words for people. */
export class ApiError extends Error {
  override name = 'ApiError';
  constructor(
    message: string,
    /** HTTP status, 0 where no answer came. */
    readonly status: number,
    readonly problem?: Problem,
    /** Seconds after which another attempt may succeed, if the server said so. */
    readonly retryAfter?: number,
  ) {
    super(message);
  }

  /** What is wrong with a field of the request, if that is what is wrong. */
  field(name: string): string | undefined {
    return this.problem?.errors?.find((e) => e.field === name)?.detail;
  }
}

/** problemWords says what went wrong in one sentence. */
export function problemWords(p: Problem): string {
  if (p.errors?.length) {
    return p.errors.map((e) => sentence(`${e.field} ${e.detail}`)).join(' ');
  }
  return sentence(p.detail || p.title);
}

export function sentence(text: string): string {
  const t = text.trim();
  if (!t) return 'Something went wrong.';
  const head = t[0]!.toUpperCase() + t.slice(1);
  return /[.!?]$/.test(head) ? head : head + '.';
}

/** words of any error. */
export function words(err: unknown): string {
  if (err instanceof Error) return sentence(err.message);
  return sentence(String(err));
}

const signedOutListeners = new Set<() => void>();

/** onSignedOut calls back when the API no longer knows the session. */
export function onSignedOut(f: () => void): () => void {
  signedOutListeners.add(f);
  return () => signedOutListeners.delete(f);
}

/** signedOut tells the page that the session has ended. */
export function signedOut(): void {
  signedOutListeners.forEach((f) => f());
}

export type Query = Record<string, string | number | boolean | undefined | null>;

/** path builds a path with a query out of what is set. */
export function withQuery(path: string, query: Query): string {
  const q = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== null && value !== '') q.set(name, String(value));
  }
  const text = q.toString();
  return text ? `${path}?${text}` : path;
}

export interface CallOptions {
  query?: Query;
  body?: unknown;
  contentType?: string;
  signal?: AbortSignal;
}

/** call asks the API and throws an ApiError where it does not succeed. */
export async function call<T>(method: string, path: string, o: CallOptions = {}): Promise<T> {
  const init: RequestInit = { method, credentials: 'same-origin', signal: o.signal, headers: { Accept: 'application/json' } };
  if (o.body !== undefined) {
    init.body = JSON.stringify(o.body);
    init.headers = { ...init.headers, 'Content-Type': o.contentType ?? 'application/json' };
  }
  let answer: Response;
  try {
    answer = await fetch(withQuery(path, o.query ?? {}), init);
  } catch (err) {
    if (err instanceof DOMException && err.name === 'AbortError') throw err;
    throw new ApiError('Meridian cannot be reached. Check the connection, then try again.', 0);
  }
  if (answer.ok) {
    return (answer.status === 204 ? undefined : await answer.json()) as T;
  }
  const problem = await readProblem(answer);
  if (answer.status === 401 && path !== '/v1/session') signedOut();
  const retryAfter = Number(answer.headers.get('Retry-After')) || undefined;
  throw new ApiError(problem ? problemWords(problem) : `Meridian answered with status ${answer.status}.`, answer.status, problem, retryAfter);
}

async function readProblem(answer: Response): Promise<Problem | undefined> {
  if (!answer.headers.get('Content-Type')?.includes('json')) return undefined;
  try {
    return (await answer.json()) as Problem;
  } catch {
    return undefined;
  }
}

export const get = <T>(path: string, query?: Query, signal?: AbortSignal) => call<T>('GET', path, { query, signal });
export const post = <T>(path: string, body: unknown) => call<T>('POST', path, { body });
export const patch = <T>(path: string, body: unknown) => call<T>('PATCH', path, { body, contentType: 'application/merge-patch+json' });
export const del = (path: string, query?: Query) => call<void>('DELETE', path, { query });
