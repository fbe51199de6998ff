import { ChevronDown, ChevronUp } from 'lucide-react';
import { useMemo, useState } from 'react';

export type Key = string | number;

export interface Order<C extends string> {
  column: C;
  down: boolean;
}

/** useSorted orders rows by what a column says of them; equals keep their order. */
export function useSorted<R, C extends string>(rows: R[], by: (row: R, column: C) => Key, first: Order<C>) {
  const [order, setOrder] = useState(first);
  const sorted = useMemo(
    () =>
      [...rows].sort((a, b) => {
        const [x, y] = [by(a, order.column), by(b, order.column)];
        const less = typeof x === 'string' && typeof y === 'string' ? x.localeCompare(y) : Number(x) - Number(y);
        return order.down ? -less : less;
      }),
    [rows, by, order],
  );
  return { sorted, order, setOrder };
}

/** SortHead is a column's name, which orders the table by it. */
export function SortHead<C extends string>({ column, label, num, order, onOrder, title }: { column: C; label: string; num?: boolean; order: Order<C>; onOrder: (o: Order<C>) => void; title?: string }) {
  const on = order.column === column;
  const Icon = on && !order.down ? ChevronUp : ChevronDown;
  return (
    <th scope="col" className={num ? 'num' : undefined} aria-sort={on ? (order.down ? 'descending' : 'ascending') : 'none'}>
      <button type="button" className="sort" title={title} onClick={() => onOrder({ column, down: on ? !order.down : Boolean(num) })}>
        {label}
        <Icon size={14} strokeWidth={2} aria-hidden className={on ? undefined : 'off'} />
      </button>
    </th>
  );
}
