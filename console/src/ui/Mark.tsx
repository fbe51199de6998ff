/** The sign of Meridian: a globe by its meridians. */
export function Mark({ size = 24 }: { size?: number }) {
  return (
    <svg width={size} height={size} viewBox="0 0 24 24" fill="none" stroke="currentColor" strokeWidth="1.75" aria-hidden>
      <circle cx="12" cy="12" r="9.5" />
      <path d="M12 2.5c4.4 2.9 4.4 16.1 0 19M12 2.5c-4.4 2.9-4.4 16.1 0 19" />
    </svg>
  );
}
