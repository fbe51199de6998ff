import { useParams, useSearch } from 'wouter';
import { Buckets } from '../objects/Buckets';
import { Detail } from '../objects/Detail';
import { Listing } from '../objects/Listing';
import '../ui/table.css';
import './objects.css';

/**
 * Objects shows the buckets, what is in one below ?prefix=, and an object of it,
 * ?key=. Keys are parameters: a path would not keep all that a key may hold.
 */
export default function Objects() {
  const { bucket } = useParams<{ bucket?: string }>();
  const query = new URLSearchParams(useSearch());
  const key = query.get('key');
  if (!bucket) return <Buckets />;
  if (key) return <Detail bucket={bucket} objectKey={key} version={query.get('version') ?? undefined} />;
  return <Listing bucket={bucket} prefix={query.get('prefix') ?? ''} versions={query.get('versions') === 'true'} />;
}
