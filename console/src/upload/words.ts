import { problemWords, type Problem } from '../lib/api';

/** An error of tus-js-client, as far as we look into it. */
export interface UploadError extends Error {
  originalResponse?: { getStatus(): number; getBody(): string } | null;
  /** What the server answered, kept by keepAnswer. */
  answer?: { status: number; body: string };
}

/**
 * keepAnswer notes with an error what the server answered. Before Uppy tells of
 * an error it aborts the request, which then no longer knows.
 */
export function keepAnswer(err: UploadError): void {
  if (err.originalResponse) err.answer = { status: err.originalResponse.getStatus(), body: err.originalResponse.getBody() };
}

export const statusOf = (err: UploadError): number => err.answer?.status ?? 0;

/** isFinal says that the server will not have the file, however often it is sent. */
export const isFinal = (err: UploadError): boolean => [400, 413, 415, 422].includes(statusOf(err));

/** uploadWords says why an upload stopped, and what to do. */
export function uploadWords(err: UploadError): string {
  const status = statusOf(err);
  if (status === 0) return 'The connection broke and did not come back. What was sent is kept; try again to go on from there.';
  if (status === 401) return 'Your session has ended. Sign in, then try again; what was sent is kept.';
  const body = err.answer?.body ?? '';
  try {
    const p = JSON.parse(body) as Problem;
    if (p && (p.detail || p.title || p.errors)) return problemWords(p);
  } catch {
    // Not a problem document.
  }
  if (status === 403) return 'These credentials do not allow uploads into this bucket.';
  if (status === 404 || status === 410) return 'The server no longer knows this upload. Try again to begin anew.';
  if (status === 413) return 'The file is larger than this bucket accepts.';
  if (status === 415) return 'This bucket does not accept files of this type.';
  if (status === 507) return 'There is no space left for this file.';
  if (status >= 500) return 'The server had a problem of its own. What was sent is kept; try again in a moment.';
  return `The server refused the file with status ${status}.`;
}
