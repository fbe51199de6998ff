// The parts that pages are made of.
import { CircleAlert, CircleCheck, Info, X, type LucideIcon } from 'lucide-react';
import {
  createContext,
  useCallback,
  useContext,
  useEffect,
  useId,
  useRef,
  useState,
  type ButtonHTMLAttributes,
  type InputHTMLAttributes,
  type ReactNode,
  type SelectHTMLAttributes,
  type TextareaHTMLAttributes,
} from 'react';
import { words } from '../lib/api';

type Look = 'plain' | 'primary' | 'danger' | 'quiet';

interface ButtonProps extends ButtonHTMLAttributes<HTMLButtonElement> {
  look?: Look;
  slim?: boolean;
  /** Shows a spinner and takes no further clicks. */
  busy?: boolean;
  icon?: LucideIcon;
}

export function Button({ look = 'plain', slim, busy, icon: Icon, className, children, disabled, type = 'button', ...rest }: ButtonProps) {
  return (
    <button type={type} className={join('button', look !== 'plain' && look, slim && 'slim', className)} disabled={disabled || busy} aria-busy={busy || undefined} {...rest}>
      {busy ? <span className="spinner" aria-hidden /> : Icon && <Icon size={16} strokeWidth={1.75} aria-hidden />}
      {children}
    </button>
  );
}

/** IconButton has no text but its label, which is read out and shown as a tip. */
export function IconButton({ icon: Icon, label, look = 'quiet', slim, className, type = 'button', ...rest }: ButtonProps & { icon: LucideIcon; label: string }) {
  return (
    <button type={type} className={join('button icon', look !== 'plain' && look, slim && 'slim', className)} aria-label={label} title={label} {...rest}>
      <Icon size={18} strokeWidth={1.75} aria-hidden />
    </button>
  );
}

export function join(...names: (string | false | null | undefined)[]): string {
  return names.filter(Boolean).join(' ');
}

interface Labelled {
  label: ReactNode;
  hint?: ReactNode;
  wrong?: string;
}

function Field({ label, hint, wrong, id, children }: Labelled & { id: string; children: ReactNode }) {
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      {children}
      {wrong ? (
        <span className="wrong" id={`${id}-note`} role="alert">
          {wrong}
        </span>
      ) : (
        hint && (
          <span className="hint" id={`${id}-note`}>
            {hint}
          </span>
        )
      )}
    </div>
  );
}

export function TextField({ label, hint, wrong, ...rest }: Labelled & InputHTMLAttributes<HTMLInputElement>) {
  const id = useId();
  return (
    <Field {...{ label, hint, wrong, id }}>
      <input id={id} className="input" aria-invalid={wrong ? true : undefined} aria-describedby={wrong || hint ? `${id}-note` : undefined} {...rest} />
    </Field>
  );
}

export function TextArea({ label, hint, wrong, ...rest }: Labelled & TextareaHTMLAttributes<HTMLTextAreaElement>) {
  const id = useId();
  return (
    <Field {...{ label, hint, wrong, id }}>
      <textarea id={id} className="input" aria-invalid={wrong ? true : undefined} aria-describedby={wrong || hint ? `${id}-note` : undefined} {...rest} />
    </Field>
  );
}

export function SelectField({ label, hint, wrong, children, ...rest }: Labelled & SelectHTMLAttributes<HTMLSelectElement>) {
  const id = useId();
  return (
    <Field {...{ label, hint, wrong, id }}>
      <select id={id} className="input" aria-invalid={wrong ? true : undefined} aria-describedby={wrong || hint ? `${id}-note` : undefined} {...rest}>
        {children}
      </select>
    </Field>
  );
}

export interface Choice<T extends string> {
  value: T;
  label: ReactNode;
  title?: string;
}

/** Segments are a few choices, one of which is chosen. */
export function Segments<T extends string>({ label, value, onChange, choices }: { label: string; value: T; onChange: (v: T) => void; choices: Choice<T>[] }) {
  return (
    <div className="segments" role="group" aria-label={label}>
      {choices.map((c) => (
        <button key={c.value} type="button" aria-pressed={c.value === value} title={c.title} onClick={() => onChange(c.value)}>
          {c.label}
        </button>
      ))}
    </div>
  );
}

export function Badge({ tone, children }: { tone?: 'good' | 'warn' | 'danger' | 'accent'; children: ReactNode }) {
  return <span className={join('badge', tone)}>{children}</span>;
}

export function PageHead({ title, children, actions }: { title: ReactNode; children?: ReactNode; actions?: ReactNode }) {
  return (
    <header className="page-head">
      <div>
        <h1>{title}</h1>
        {children && <p>{children}</p>}
      </div>
      {actions && <div className="actions">{actions}</div>}
    </header>
  );
}

export function Notice({ tone, children, action }: { tone?: 'danger' | 'warn'; children: ReactNode; action?: ReactNode }) {
  const Icon = tone ? CircleAlert : Info;
  return (
    <div className={join('notice', tone)} role={tone === 'danger' ? 'alert' : 'status'}>
      <Icon size={16} strokeWidth={1.75} aria-hidden />
      <div className="body">{children}</div>
      {action}
    </div>
  );
}

/** Failure says in words what went wrong, and offers another try. */
export function Failure({ error, again }: { error: unknown; again?: () => void }) {
  return (
    <Notice
      tone="danger"
      action={
        again && (
          <Button slim onClick={again}>
            Try again
          </Button>
        )
      }
    >
      {words(error)}
    </Notice>
  );
}

export function Empty({ icon: Icon, title, children, actions }: { icon: LucideIcon; title: string; children?: ReactNode; actions?: ReactNode }) {
  return (
    <div className="empty">
      <span className="mark" aria-hidden>
        <Icon size={24} strokeWidth={1.5} />
      </span>
      <h2>{title}</h2>
      {children && <p>{children}</p>}
      {actions && <div className="actions">{actions}</div>}
    </div>
  );
}

export function Skeleton({ width = '100%', height = '1rem', radius }: { width?: string | number; height?: string | number; radius?: string }) {
  return <div className="skeleton" style={{ width, height, borderRadius: radius }} aria-hidden />;
}

export function Spinner({ label }: { label: string }) {
  return (
    <span role="status" className="row muted">
      <span className="spinner" aria-hidden /> <span className="hidden">{label}</span>
    </span>
  );
}

export function Progress({ value, state, label }: { value: number; state?: 'paused' | 'failed'; label: string }) {
  const percent = Math.round(Math.min(Math.max(value, 0), 1) * 1000) / 10;
  return (
    <div className={join('progress', state)} role="progressbar" aria-label={label} aria-valuemin={0} aria-valuemax={100} aria-valuenow={Math.round(percent)}>
      <i style={{ width: `${percent}%` }} />
    </div>
  );
}

/** Dialog is modal and open as long as it is drawn; Esc and a click beside it close it. */
export function Dialog({ title, onClose, wide, className, children }: { title: string; onClose: () => void; wide?: boolean; className?: string; children: ReactNode }) {
  const ref = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => {
    const before = document.activeElement;
    ref.current?.showModal();
    // Not on the button that closes it, which comes first.
    const first = (of: string) => ref.current?.querySelector<HTMLElement>(`.content :is(${of})`);
    (first('[aria-pressed=true], [aria-current=page]') ?? first('input:not([readonly]), select, textarea, button, a'))?.focus();
    return () => {
      if (before instanceof HTMLElement) before.focus();
    };
  }, []);
  return (
    <dialog
      ref={ref}
      className={join('dialog', wide && 'wide', className)}
      aria-labelledby={id}
      onCancel={(e) => {
        e.preventDefault();
        onClose();
      }}
      onMouseDown={(e) => {
        if (e.target === e.currentTarget) onClose();
      }}
    >
      <div onMouseDown={(e) => e.stopPropagation()}>
        <header>
          <h2 id={id}>{title}</h2>
          <IconButton icon={X} label="Close" slim onClick={onClose} />
        </header>
        <div className="content">{children}</div>
      </div>
    </dialog>
  );
}

/** Confirm asks before what cannot be undone. */
export function Confirm({ title, action, children, onConfirm, onClose }: { title: string; action: string; children: ReactNode; onConfirm: () => Promise<unknown>; onClose: () => void }) {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const confirm = async () => {
    setBusy(true);
    setError(null);
    try {
      await onConfirm();
      onClose();
    } catch (err) {
      setError(err);
      setBusy(false);
    }
  };
  return (
    <Dialog title={title} onClose={onClose}>
      <div className="muted">{children}</div>
      {error !== null && <Failure error={error} />}
      <footer>
        <Button onClick={onClose} autoFocus>
          Cancel
        </Button>
        <Button look="danger" busy={busy} onClick={() => void confirm()}>
          {action}
        </Button>
      </footer>
    </Dialog>
  );
}

type Tone = 'good' | 'danger';
interface ToastMessage {
  id: number;
  text: string;
  tone: Tone;
}

const ToastContext = createContext<(text: string, tone?: Tone) => void>(() => undefined);

/** useToast tells something in passing; errors that need an act belong in the page. */
export const useToast = () => useContext(ToastContext);

export function Toasts({ children }: { children: ReactNode }) {
  const [list, setList] = useState<ToastMessage[]>([]);
  const next = useRef(1);
  const drop = useCallback((id: number) => setList((l) => l.filter((t) => t.id !== id)), []);
  const show = useCallback(
    (text: string, tone: Tone = 'good') => {
      const id = next.current++;
      setList((l) => [...l.slice(-2), { id, text, tone }]);
      setTimeout(() => drop(id), tone === 'danger' ? 10_000 : 4_000);
    },
    [drop],
  );
  return (
    <ToastContext value={show}>
      {children}
      <div className="toasts" role="status" aria-live="polite">
        {list.map((t) => (
          <div key={t.id} className={join('toast', t.tone)}>
            {t.tone === 'danger' ? <CircleAlert size={18} aria-hidden /> : <CircleCheck size={18} aria-hidden />}
            <span>{t.text}</span>
            <IconButton icon={X} label="Dismiss" slim onClick={() => drop(t.id)} />
          </div>
        ))}
      </div>
    </ToastContext>
  );
}

/** CopyButton puts text on the clipboard and says so. */
export function CopyButton({ text, label = 'Copy', look }: { text: string; label?: string; look?: Look }) {
  const [done, setDone] = useState(false);
  const toast = useToast();
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      setDone(true);
      setTimeout(() => setDone(false), 2_000);
    } catch {
      toast('The browser does not let this page copy; select the text and copy it by hand.', 'danger');
    }
  };
  return (
    <Button look={look} onClick={() => void copy()}>
      {done ? 'Copied' : label}
    </Button>
  );
}
