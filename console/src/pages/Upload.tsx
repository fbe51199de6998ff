import { CloudUpload, File as FileIcon, FileVideo, FolderUp, Image as ImageIcon, Pause, Play, Plus, RotateCw, X } from 'lucide-react';
import { useRef, useState, type DragEvent, type ReactNode } from 'react';
import { Link } from 'wouter';
import { bytes, plural, span } from '../lib/format';
import { useTitle } from '../lib/hooks';
import { galleryPath } from '../lib/media';
import { useBuckets } from '../lib/queries';
import { useSession } from '../lib/session';
import { useUploadContext, useUploads } from '../upload/context';
import { filesOf } from '../upload/drop';
import type { Upload as Item } from '../upload/manager';
import type { Unfinished } from '../upload/unfinished';
import { BucketDialog } from '../ui/BucketDialog';
import { Badge, Button, Confirm, Failure, IconButton, join, Notice, PageHead, Progress, SelectField, Skeleton, TextField, useToast } from '../ui/ui';
import './upload.css';

/** Upload sends files, and shows how far all of them are. */
export default function Upload() {
  useTitle('Upload');
  const { isAdmin } = useSession();
  const { manager, bucket, setBucket, folder, setFolder } = useUploadContext();
  const uploads = useUploads();
  const buckets = useBuckets();
  const [creating, setCreating] = useState(false);
  const files = useRef<HTMLInputElement>(null);
  const directory = useRef<HTMLInputElement>(null);
  // A remembered bucket may be gone.
  const chosen = buckets.data?.some((b) => b.name === bucket) ? bucket : '';
  const none = buckets.data?.length === 0;

  const choose = (name: string) => {
    setBucket(name);
    if (name && uploads.homeless.length) manager.settle(name, folder);
  };
  const add = (list: File[]) => {
    if (list.length) manager.add(list, chosen, folder);
  };
  const taken = (input: HTMLInputElement) => {
    add([...(input.files ?? [])]);
    input.value = ''; // so that the same file can be chosen again
  };

  return (
    <div className="page narrow">
      <PageHead title="Upload" />
      {buckets.error && <Failure error={buckets.error} again={() => void buckets.refetch()} />}
      <div className="upload-to">
        {buckets.isPending ? (
          <Skeleton height={62} />
        ) : (
          <SelectField label="Bucket" value={chosen} onChange={(e) => choose(e.target.value)} disabled={none}>
            <option value="">{none ? 'There is none yet' : 'Choose a bucket'}</option>
            {buckets.data?.map((b) => (
              <option key={b.name} value={b.name}>
                {b.name} {b.visibility === 'public-read' ? '(public)' : ''}
              </option>
            ))}
          </SelectField>
        )}
        {isAdmin && (
          <Button icon={Plus} onClick={() => setCreating(true)} look={none ? 'primary' : 'plain'}>
            New bucket
          </Button>
        )}
        <TextField label="Folder" placeholder="none, or for example 2026/summer" value={folder} onChange={(e) => setFolder(e.target.value)} autoComplete="off" spellCheck={false} />
      </div>
      {none && !isAdmin && <Notice>There is no bucket yet, and only an administrator can make one.</Notice>}
      {uploads.homeless.length > 0 && (
        <Notice
          tone="warn"
          action={
            <Button slim onClick={() => manager.forgetHomeless()}>
              Leave them
            </Button>
          }
        >
          Choose a bucket for {plural(uploads.homeless.length, 'file')}.
        </Notice>
      )}

      <DropZone onFiles={add} onOpen={() => files.current?.click()}>
        <span className="mark" aria-hidden>
          <CloudUpload size={26} strokeWidth={1.5} />
        </span>
        <strong>Drop photos and videos here</strong>
        <span className="muted">They are sent in pieces: pause, lose the connection or close the page, and go on later.</span>
        <span className="actions">
          <Button look="primary" onClick={() => files.current?.click()}>
            Choose files
          </Button>
          <Button icon={FolderUp} onClick={() => directory.current?.click()} className="desktop">
            Choose a folder
          </Button>
        </span>
      </DropZone>
      <input ref={files} type="file" multiple hidden data-testid="files" onChange={(e) => taken(e.currentTarget)} />
      <input ref={directory} type="file" hidden {...{ webkitdirectory: '' }} onChange={(e) => taken(e.currentTarget)} />

      {uploads.unfinished.length > 0 && <UnfinishedList list={uploads.unfinished} onChoose={() => files.current?.click()} />}
      {uploads.list.length > 0 && <UploadList list={uploads.list} />}
      {creating && <BucketDialog onClose={() => setCreating(false)} onCreated={choose} />}
    </div>
  );
}

function DropZone({ onFiles, onOpen, children }: { onFiles: (files: File[]) => void; onOpen: () => void; children: ReactNode }) {
  const [over, setOver] = useState(0);
  const drop = async (e: DragEvent) => {
    e.preventDefault();
    e.stopPropagation();
    setOver(0);
    onFiles(await filesOf(e.dataTransfer));
  };
  return (
    <div
      className={join('drop', over > 0 && 'over')}
      onClick={(e) => {
        if (!(e.target as HTMLElement).closest('button')) onOpen();
      }}
      onDragEnter={(e) => {
        e.preventDefault();
        setOver((n) => n + 1);
      }}
      onDragLeave={() => setOver((n) => Math.max(n - 1, 0))}
      onDragOver={(e) => e.preventDefault()}
      onDrop={(e) => void drop(e)}
    >
      {children}
    </div>
  );
}

function UnfinishedList({ list, onChoose }: { list: Unfinished[]; onChoose: () => void }) {
  const { manager } = useUploadContext();
  const toast = useToast();
  const [discarding, setDiscarding] = useState<Unfinished | null>(null);
  return (
    <section className="uploads" aria-label="Unfinished uploads">
      <header className="row spread">
        <h2>Unfinished</h2>
        <Button slim icon={RotateCw} onClick={onChoose}>
          Choose {list.length === 1 ? 'the file' : 'the files'} again
        </Button>
      </header>
      <p className="muted small">The browser has let go of {list.length === 1 ? 'this file' : 'these files'} since. Choose {list.length === 1 ? 'it' : 'them'} again, and only what is missing is sent.</p>
      <ul>
        {list.map((u) => (
          <li key={u.id} className="upload" data-state="unfinished">
            <Thumb type="" />
            <div className="what">
              <div className="row spread">
                <span className="truncate name">{u.name}</span>
                <span className="small muted tabular nowrap">
                  {bytes(u.sent)} of {bytes(u.size)}
                </span>
              </div>
              <Progress value={u.size ? u.sent / u.size : 0} state="paused" label={`Upload of ${u.name}`} />
              <div className="small muted truncate">
                {u.bucket} / {u.key}
              </div>
            </div>
            <IconButton icon={X} slim label={`Give up the upload of ${u.name}`} onClick={() => setDiscarding(u)} />
          </li>
        ))}
      </ul>
      {discarding && (
        <Confirm
          title="Give this upload up?"
          action="Give up"
          onClose={() => setDiscarding(null)}
          onConfirm={() => manager.discard(discarding).then(() => toast(`The upload of ${discarding.name} was given up.`))}
        >
          The {bytes(discarding.sent)} of {discarding.name} that were sent are thrown away.
        </Confirm>
      )}
    </section>
  );
}

function UploadList({ list }: { list: Item[] }) {
  const { manager } = useUploadContext();
  const count = (...states: Item['state'][]) => list.filter((u) => states.includes(u.state)).length;
  const going = count('sending', 'waiting');
  const failed = list.filter((u) => u.refused).length;
  const stopped = count('paused', 'failed') - failed;
  const done = count('done');
  const total = list.reduce((n, u) => n + u.size, 0);
  const sent = list.reduce((n, u) => n + u.sent, 0);
  const buckets = [...new Set(list.map((u) => u.bucket))];
  return (
    <section className="uploads" aria-label="Uploads">
      <header className="row spread wrap">
        <h2>
          {headline(going, stopped, failed, done)}
          <span className="muted tabular small total">
            {bytes(sent)} of {bytes(total)}
          </span>
        </h2>
        <div className="actions">
          {going > 0 && (
            <Button slim icon={Pause} onClick={() => manager.pauseAll()}>
              Pause all
            </Button>
          )}
          {stopped > 0 && (
            <Button slim icon={Play} onClick={() => manager.resumeAll()}>
              Resume all
            </Button>
          )}
          {done > 0 && going === 0 && (
            <>
              <Button slim look="quiet" onClick={() => manager.clearDone()}>
                Clear
              </Button>
              <Link href={galleryPath({ bucket: buckets.length === 1 ? buckets[0] : undefined })} className="button slim">
                Show in the gallery
              </Link>
            </>
          )}
        </div>
      </header>
      <ul>
        {list.map((u) => (
          <UploadRow key={u.id} upload={u} />
        ))}
      </ul>
    </section>
  );
}

function headline(going: number, stopped: number, failed: number, done: number): string {
  if (going > 0) return `${plural(going, 'file')} on the way`;
  if (stopped > 0) return `${plural(stopped, 'file')} stopped`;
  if (failed > 0) return `${plural(failed, 'file')} failed`;
  return `${plural(done, 'file')} arrived`;
}

function UploadRow({ upload: u }: { upload: Item }) {
  const { manager } = useUploadContext();
  const { session } = useSession();
  const [removing, setRemoving] = useState(false);
  const active = u.state === 'sending' || u.state === 'waiting' || u.state === 'paused';
  return (
    <li className="upload" data-state={u.state}>
      <Thumb type={u.type} preview={u.preview} />
      <div className="what">
        <div className="row spread">
          <span className="truncate name">{u.name}</span>
          <span className="small muted tabular nowrap">{note(u)}</span>
        </div>
        {u.state !== 'done' && <Progress value={u.size ? u.sent / u.size : 0} state={u.state === 'failed' ? 'failed' : u.state === 'paused' ? 'paused' : undefined} label={`Upload of ${u.name}`} />}
        {u.state === 'failed' ? (
          <div className="small wrong" role="alert">
            {u.error}
          </div>
        ) : (
          <div className="small muted truncate">
            {u.bucket} / {u.key}
          </div>
        )}
      </div>
      {u.state === 'failed' && !u.refused && session && <IconButton icon={RotateCw} slim label={`Try the upload of ${u.name} again`} onClick={() => manager.retry(u.id)} />}
      {active && <IconButton icon={u.state === 'paused' ? Play : Pause} slim label={u.state === 'paused' ? `Resume the upload of ${u.name}` : `Pause the upload of ${u.name}`} onClick={() => manager.pauseOrResume(u.id)} />}
      {u.state === 'done' && <Badge tone="good">Arrived</Badge>}
      <IconButton icon={X} slim label={u.state === 'done' || u.refused ? `Take ${u.name} off the list` : `Give up the upload of ${u.name}`} onClick={() => (u.state === 'done' || u.refused || u.sent === 0 ? manager.remove(u.id) : setRemoving(true))} />
      {removing && (
        <Confirm title="Give this upload up?" action="Give up" onClose={() => setRemoving(false)} onConfirm={async () => manager.remove(u.id)}>
          The {bytes(u.sent)} of {u.name} that were sent are thrown away.
        </Confirm>
      )}
    </li>
  );
}

function note(u: Item): string {
  switch (u.state) {
    case 'waiting':
      return `waits · ${bytes(u.size)}`;
    case 'sending': {
      const left = u.speed ? (u.size - u.sent) / u.speed : NaN;
      const rest = u.speed ? ` · ${bytes(u.speed)}/s${Number.isFinite(left) ? ` · ${span(left)} left` : ''}` : '';
      return `${bytes(u.sent)} of ${bytes(u.size)}${rest}`;
    }
    case 'paused':
      return `paused at ${bytes(u.sent)} of ${bytes(u.size)}`;
    case 'failed':
      return u.refused ? `failed · ${bytes(u.size)}` : `stopped at ${bytes(u.sent)} of ${bytes(u.size)}`;
    case 'done':
      return bytes(u.size);
  }
}

function Thumb({ type, preview }: { type: string; preview?: string }) {
  const [broken, setBroken] = useState(false);
  if (preview && !broken) {
    return (
      <span className="thumb">
        <img src={preview} alt="" onError={() => setBroken(true)} />
      </span>
    );
  }
  const Icon = type.startsWith('video/') ? FileVideo : type.startsWith('image/') ? ImageIcon : FileIcon;
  return (
    <span className="thumb" aria-hidden>
      <Icon size={20} strokeWidth={1.5} />
    </span>
  );
}
