import { useUploads } from './context';

/** UploadCount is how much of what is on the way has arrived. */
export function UploadCount() {
  const { list } = useUploads();
  const going = list.filter((u) => u.state === 'sending' || u.state === 'waiting');
  if (!going.length) {
    const failed = list.filter((u) => u.state === 'failed').length;
    return failed ? <span className="badge danger count">{failed}</span> : null;
  }
  const total = going.reduce((n, u) => n + u.size, 0);
  const sent = going.reduce((n, u) => n + u.sent, 0);
  return (
    <span className="badge accent count tabular" aria-label={`${going.length} on the way`}>
      {total ? Math.floor((sent / total) * 100) : 0}%
    </span>
  );
}
