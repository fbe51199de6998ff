import { Compass } from 'lucide-react';
import { Link } from 'wouter';
import { useTitle } from '../lib/hooks';
import { Empty } from '../ui/ui';

export function NotFound() {
  useTitle('Nothing here');
  return (
    <Empty
      icon={Compass}
      title="There is no such page"
      actions={
        <Link href="/gallery" className="button primary">
          To the gallery
        </Link>
      }
    >
      The address may be mistyped, or what was here is gone.
    </Empty>
  );
}
