// Uploads outlive the page that began them: they go on while one looks at
// others, and what a reload cut off is listed until its file is chosen again.
import Uppy, { type UppyFile } from '@uppy/core';
import Tus, { type TusBody } from '@uppy/tus';
import { signedOut } from '../lib/api';
import { keyOf } from './key';
import { Speed } from './speed';
import { dropUnfinished, matches, putUnfinished, readUnfinished, type Unfinished } from './unfinished';
import { isFinal, keepAnswer, statusOf, uploadWords, type UploadError } from './words';

const endpoint = '/v1/tus/';

/** What the server is told of a file; all of it goes into Upload-Metadata. */
type Meta = { bucket: string; key: string; filename: string; filetype: string; relativePath: string };
type File_ = UppyFile<Meta, TusBody>;

export type UploadState = 'waiting' | 'sending' | 'paused' | 'done' | 'failed';

export interface Upload {
  id: string;
  name: string;
  size: number;
  type: string;
  bucket: string;
  key: string;
  state: UploadState;
  sent: number;
  /** Bytes per second, once it is known. */
  speed?: number;
  /** Why it failed, in words. */
  error?: string;
  /** It failed for good: the server would refuse it again. */
  refused?: boolean;
  /** A URL of the picture itself, to show it while it goes. */
  preview?: string;
}

export interface Uploads {
  list: Upload[];
  /** Begun before a reload; they go on when their file is chosen again. */
  unfinished: Unfinished[];
  /** Files that were dropped before a bucket was chosen. */
  homeless: File[];
}

const maxPreview = 30e6;

export class UploadManager {
  private readonly uppy = new Uppy<Meta, TusBody>({ autoProceed: true, allowMultipleUploadBatches: true });
  private readonly speeds = new Map<string, Speed>();
  private readonly previews = new Map<string, string>();
  private readonly saved = new Map<string, number>();
  // Uppy keeps the text of an error only; what to say depends on more.
  private readonly errors = new Map<string, UploadError>();
  private readonly listeners = new Set<() => void>();
  private unfinished: Unfinished[] = [];
  private homeless: File[] = [];
  private view: Uploads = { list: [], unfinished: [], homeless: [] };
  private scheduled = false;

  constructor(
    private readonly owner: string,
    private readonly onDone: () => void,
  ) {
    this.uppy.use(Tus, {
      endpoint,
      limit: 3,
      retryDelays: [0, 500, 1_000, 2_000, 4_000, 8_000, 15_000, 30_000],
      onShouldRetry: (err, _attempt, _options, next) => {
        keepAnswer(err as UploadError);
        return next(err);
      },
      removeFingerprintOnSuccess: true,
      allowedMetaFields: ['bucket', 'key', 'filename', 'filetype'],
    });
    this.uppy.on('upload-progress', (file, progress) => {
      if (!file) return;
      this.speed(file.id).add(progress.bytesUploaded || 0);
      this.save(file, progress.bytesUploaded || 0);
      this.changed();
    });
    this.uppy.on('upload-success', (file) => {
      if (!file) return;
      this.forget(file.id);
      this.changed();
      this.onDone();
    });
    this.uppy.on('upload-error', (file, err) => {
      if (file) this.errors.set(file.id, err as UploadError);
      if (statusOf(err as UploadError) === 401) signedOut();
      this.changed();
    });
    for (const event of ['file-added', 'file-removed', 'upload', 'upload-start', 'upload-pause', 'upload-retry', 'complete', 'cancel-all'] as const) {
      this.uppy.on(event, () => this.changed());
    }
    this.unfinished = readUnfinished(owner);
    void this.checkUnfinished();
    addEventListener('beforeunload', this.warn);
    this.draw();
  }

  /** close stops everything; what has begun is on the list after the next sign-in. */
  close(): void {
    removeEventListener('beforeunload', this.warn);
    for (const f of this.uppy.getFiles()) if (!f.progress.uploadComplete && !f.isPaused) this.uppy.pauseResume(f.id);
    this.previews.forEach((url) => URL.revokeObjectURL(url));
    this.listeners.clear();
  }

  subscribe = (f: () => void): (() => void) => {
    this.listeners.add(f);
    return () => this.listeners.delete(f);
  };

  read = (): Uploads => this.view;

  /** add sends files, each to where it had begun to go, else into the folder. */
  add(files: File[], bucket: string, folder: string): void {
    const fresh: File[] = [];
    for (const file of files) {
      const begun = this.unfinished.find((u) => matches(u, file));
      if (begun) this.send(file, begun.bucket, begun.key);
      else if (bucket) this.send(file, bucket, keyOf(folder, file));
      else fresh.push(file);
    }
    this.homeless = bucket ? [] : [...this.homeless, ...fresh];
    this.changed();
  }

  /** settle sends what was dropped before a bucket was chosen. */
  settle(bucket: string, folder: string): void {
    const files = this.homeless;
    this.homeless = [];
    this.add(files, bucket, folder);
  }

  forgetHomeless(): void {
    this.homeless = [];
    this.changed();
  }

  pauseOrResume(id: string): void {
    this.speeds.get(id)?.reset();
    this.uppy.pauseResume(id);
    this.changed();
  }

  pauseAll(): void {
    for (const u of this.view.list) if (u.state === 'sending' || u.state === 'waiting') this.pauseOrResume(u.id);
  }

  resumeAll(): void {
    for (const u of this.view.list) {
      if (u.state === 'paused') this.pauseOrResume(u.id);
      if (u.state === 'failed' && !u.refused) this.retry(u.id);
    }
  }

  retry(id: string): void {
    this.speeds.get(id)?.reset();
    void this.uppy.retryUpload(id).catch(() => undefined); // told by upload-error
    this.changed();
  }

  /** remove takes an upload off the list; one that is under way is given up, on the server too. */
  remove(id: string): void {
    this.forget(id);
    this.uppy.removeFile(id);
    const url = this.previews.get(id);
    if (url) URL.revokeObjectURL(url);
    this.previews.delete(id);
    this.speeds.delete(id);
    this.changed();
  }

  clearDone(): void {
    for (const u of this.view.list) if (u.state === 'done') this.remove(u.id);
  }

  /** discard gives an unfinished upload up, on the server too. */
  async discard(u: Unfinished): Promise<void> {
    const answer = await fetch(u.url, { method: 'DELETE', headers: { 'Tus-Resumable': '1.0.0' } });
    if (!answer.ok && answer.status !== 404 && answer.status !== 410) throw new Error(`The server did not give the upload up (status ${answer.status}).`);
    this.forget(u.id);
    for (const name of Object.keys(localStorage)) if (name.startsWith(`tus::tus-${u.id}-`)) localStorage.removeItem(name);
    this.changed();
  }

  private send(file: File, bucket: string, key: string): void {
    const type = file.type || 'application/octet-stream';
    try {
      // relativePath makes the ID of the file its own for each bucket and key.
      const id = this.uppy.addFile({
        name: file.name,
        type,
        data: file,
        source: 'console',
        meta: { bucket, key, filename: file.name, filetype: type, relativePath: `${bucket}/${key}` },
      });
      if (type.startsWith('image/') && file.size < maxPreview) this.previews.set(id, URL.createObjectURL(file));
      this.unfinished = this.unfinished.filter((u) => u.id !== id);
    } catch {
      // It is on the list already: try again what failed, else leave it.
      const known = this.view.list.find((u) => u.bucket === bucket && u.key === key);
      if (known?.state === 'failed') this.retry(known.id);
      if (known?.state === 'done') {
        this.remove(known.id);
        this.send(file, bucket, key);
      }
    }
  }

  /** save notes, at most once a second, how far a file is. */
  private save(file: File_, sent: number): void {
    const url = this.uppy.getFile(file.id)?.tus?.uploadUrl;
    const now = Date.now();
    if (!url || sent >= (file.size ?? 0) || now - (this.saved.get(file.id) ?? 0) < 1_000) return;
    this.saved.set(file.id, now);
    const data = file.data as File;
    putUnfinished({
      id: file.id,
      name: file.name,
      size: data.size,
      lastModified: data.lastModified,
      bucket: file.meta.bucket,
      key: file.meta.key,
      url,
      sent,
      updated: now,
      owner: this.owner,
    });
  }

  private forget(id: string): void {
    dropUnfinished(id);
    this.saved.delete(id);
    this.unfinished = this.unfinished.filter((u) => u.id !== id);
  }

  /** checkUnfinished asks the server how far they are; those it has forgotten go. */
  private async checkUnfinished(): Promise<void> {
    await Promise.all(
      this.unfinished.map(async (u) => {
        const answer = await fetch(u.url, { method: 'HEAD', headers: { 'Tus-Resumable': '1.0.0' } }).catch(() => undefined);
        if (answer && (answer.status === 404 || answer.status === 410 || answer.status === 403)) {
          this.forget(u.id);
          return;
        }
        const offset = Number(answer?.headers.get('Upload-Offset') ?? NaN);
        if (answer?.ok && Number.isFinite(offset)) this.unfinished = this.unfinished.map((o) => (o.id === u.id ? { ...o, sent: offset } : o));
      }),
    );
    this.changed();
  }

  private speed(id: string): Speed {
    let s = this.speeds.get(id);
    if (!s) this.speeds.set(id, (s = new Speed()));
    return s;
  }

  private warn = (e: BeforeUnloadEvent): void => {
    if (this.view.list.some((u) => u.state === 'sending' || u.state === 'waiting')) e.preventDefault();
  };

  /** changed redraws soon: progress comes many times a second. */
  private changed(): void {
    if (this.scheduled) return;
    this.scheduled = true;
    setTimeout(() => {
      this.scheduled = false;
      this.draw();
    }, 80);
  }

  private draw(): void {
    const list = this.uppy.getFiles().map((f): Upload => {
      const state = stateOf(f);
      const failure = state === 'failed' ? (this.errors.get(f.id) ?? new Error(f.error ?? '')) : undefined;
      return {
        id: f.id,
        name: f.name,
        size: f.size ?? 0,
        type: f.type,
        bucket: f.meta.bucket,
        key: f.meta.key,
        state,
        sent: state === 'done' ? (f.size ?? 0) : f.progress.bytesUploaded || 0,
        speed: state === 'sending' ? this.speed(f.id).perSecond() : undefined,
        error: failure && uploadWords(failure),
        refused: failure && isFinal(failure),
        preview: this.previews.get(f.id),
      };
    });
    this.view = { list, unfinished: this.unfinished.filter((u) => !list.some((l) => l.id === u.id)), homeless: this.homeless };
    this.listeners.forEach((f) => f());
  }
}

function stateOf(f: File_): UploadState {
  if (f.progress.uploadComplete) return 'done';
  if (f.error) return 'failed';
  if (f.isPaused) return 'paused';
  return f.progress.bytesUploaded ? 'sending' : 'waiting';
}
