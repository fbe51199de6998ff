import { shareTexts, tierNames, tiers } from '../lib/report';
import type { Tier } from '../lib/types';

/** SharesBar draws which tier answered what part of the requests of browsers. */
export function SharesBar({ shares, slim }: { shares: Partial<Record<Tier, number>>; slim?: boolean }) {
  const list = tiers.map((t) => shares[t] ?? 0);
  const texts = shareTexts(list);
  const none = list.every((s) => s === 0);
  const words = none ? 'no requests of browsers' : tiers.map((t, i) => `${tierNames[t]} ${texts[i]}`).join(', ');
  return (
    <div className={slim ? 'shares slim' : 'shares'} role="img" aria-label={words} title={words}>
      {tiers.map((t, i) => list[i]! > 0 && <i key={t} className={t} style={{ flexGrow: list[i] }} />)}
    </div>
  );
}
