import { useEffect, useState } from 'react';
import { useLocation } from 'wouter';
import { useUploadContext } from './context';
import { filesOf, hasFiles } from './drop';

/** DropAnywhere takes files that are dropped on any page. */
export function DropAnywhere() {
  const { manager, bucket, folder } = useUploadContext();
  const [path, go] = useLocation();
  const [over, setOver] = useState(false);
  useEffect(() => {
    let depth = 0;
    const enter = (e: DragEvent) => {
      if (!hasFiles(e.dataTransfer)) return;
      depth++;
      setOver(true);
    };
    const leave = (e: DragEvent) => {
      if (hasFiles(e.dataTransfer) && --depth <= 0) setOver(false);
    };
    const hover = (e: DragEvent) => {
      if (hasFiles(e.dataTransfer)) e.preventDefault();
    };
    const reset = () => {
      depth = 0;
      setOver(false);
    };
    const drop = (e: DragEvent) => {
      if (e.defaultPrevented || !e.dataTransfer || !hasFiles(e.dataTransfer)) return;
      e.preventDefault();
      void filesOf(e.dataTransfer).then((files) => {
        manager.add(files, bucket, folder);
        go('/upload');
      });
    };
    addEventListener('dragenter', enter);
    addEventListener('dragleave', leave);
    addEventListener('dragover', hover);
    addEventListener('drop', reset, true);
    addEventListener('drop', drop);
    return () => {
      removeEventListener('dragenter', enter);
      removeEventListener('dragleave', leave);
      removeEventListener('dragover', hover);
      removeEventListener('drop', reset, true);
      removeEventListener('drop', drop);
    };
  }, [manager, bucket, folder, go]);
  if (!over || path === '/upload') return null;
  return <div className="drop-veil">{bucket ? `Drop to upload to ${bucket}` : 'Drop to upload'}</div>;
}
