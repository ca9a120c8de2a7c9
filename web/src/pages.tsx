// The pages with most edits. Rows do not move while the pointer or the focus is inside; moves are marked, not animated.
// Titles are text nodes, isolated with their wiki's language and direction; links are built from the server name only.
import { useRef, useState } from "preact/hooks";
import { pageKey, windowWords, type Chip, type Data, type Page, type Window } from "./frame";
import { count } from "./format";

const markForMs = 6000;
const hostPattern = /^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/;

function address(page: Page, query: Record<string, string>): string | null {
  if (!hostPattern.test(page.server)) return null;
  const url = new URL(`https://${page.server}/w/index.php`);
  for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
  return url.protocol === "https:" && url.host === page.server ? url.href : null;
}

function Out({ href, children, label }: { href: string | null; children: string; label: string }) {
  if (!href) return null;
  return (
    <a href={href} target="_blank" rel="noreferrer noopener" aria-label={label}>
      {children}
    </a>
  );
}

interface Move {
  by: number;
  until: number;
}

// Remembers the order that is shown, to hold it and to tell who moved.
class Order {
  private keys: string[] = [];
  private moves = new Map<string, Move>();

  arrange(pages: Page[], hold: boolean): Page[] {
    const byKey = new Map(pages.map((page) => [pageKey(page), page]));
    const kept = hold ? this.keys.map((key) => byKey.get(key)).filter((page) => page !== undefined) : [];
    const shown = hold && kept.length > 0 ? kept : pages;
    const next = shown.map(pageKey);
    if (!hold && this.keys.length > 0) this.note(next, shown);
    this.keys = next;
    return shown;
  }

  // Among pages with a single edit the order is the alphabet's: no news.
  private note(next: string[], pages: Page[]): void {
    const now = Date.now();
    const before = new Map(this.keys.map((key, rank) => [key, rank]));
    next.forEach((key, rank) => {
      const was = before.get(key);
      if (was !== undefined && was !== rank && (pages[rank]?.edits ?? 0) > 1) this.moves.set(key, { by: was - rank, until: now + markForMs });
    });
    for (const [key, move] of this.moves) if (move.until < now) this.moves.delete(key);
  }

  move(page: Page): number {
    return this.moves.get(pageKey(page))?.by ?? 0;
  }
}

function Moved({ by }: { by: number }) {
  if (by === 0) return <span class="move" />;
  const words = `${by > 0 ? "up" : "down"} ${Math.abs(by)}`;
  return (
    <span class={by > 0 ? "move up" : "move down"} title={words}>
      <span aria-hidden="true">{by > 0 ? "\u25b2" : "\u25bc"}</span>
      <span class="hidden">{words}</span>
    </span>
  );
}

function Row({ page, rank, top, by }: { page: Page; rank: number; top: number; by: number }) {
  const diff = page.new ? address(page, { title: page.title, diff: page.new, ...(page.old ? { oldid: page.old } : {}) }) : null;
  return (
    <tr>
      <td class="rank">
        {rank}
        <Moved by={by} />
      </td>
      <th scope="row" class="title" key={pageKey(page)}>
        <div class="name">
          <bdi dir={page.dir} {...(page.lang ? { lang: page.lang } : {})}>{page.title}</bdi>
          <span class="wiki">{page.wiki}</span>
        </div>
      </th>
      <td class="edits">
        <span class="bar" style={{ width: `${(page.edits / top) * 100}%` }} aria-hidden="true" />
        <span class="n">{count(page.edits)}</span>
      </td>
      <td class="links">
        <Out href={diff} label={`diff of ${page.title}`}>diff</Out>
        <Out href={address(page, { title: page.title, action: "history" })} label={`history of ${page.title}`}>history</Out>
      </td>
    </tr>
  );
}

function reasonForNone(data: Data | null, chip: Chip | null, window: Window): string {
  if (!data) return "";
  if (!data.now) {
    if (chip?.problem) return `Nothing has been received yet: ${chip.problem}. The command "wikitally doctor source" checks the way there, step by step.`;
    return "Nothing has been received yet. The first events appear here at once; the state above says how the source is doing.";
  }
  if (data.now.changes > 0) return `No page was edited in the last ${windowWords[window]}: what came were log entries and categorisations.`;
  return `No change in the last ${windowWords[window]} of event time. A longer window, above, may show more.`;
}

function Skeleton() {
  return (
    <tbody aria-hidden="true">
      {Array.from({ length: 20 }, (_, i) => (
        <tr key={i} class="skeleton">
          <td class="rank">{"\u00a0"}</td>
          <th class="title" scope="row">{"\u00a0"}</th>
          <td class="edits" />
          <td class="links" />
        </tr>
      ))}
    </tbody>
  );
}

export function Pages({ data, chip, window }: { data: Data | null; chip: Chip | null; window: Window }) {
  const order = useRef(new Order());
  const [pointer, setPointer] = useState(false);
  const [focus, setFocus] = useState(false);
  const hold = pointer || focus;
  const pages = order.current.arrange(data?.pages ?? [], hold);
  const top = Math.max(1, ...pages.map((page) => page.edits));
  const none = data !== null && pages.length === 0;
  return (
    <section
      class="card pages"
      aria-labelledby="pages-title"
      onPointerEnter={(event) => setPointer(event.pointerType !== "touch")}
      onPointerLeave={() => setPointer(false)}
      onFocusCapture={() => setFocus(true)}
      onBlurCapture={() => setFocus(false)}
    >
      <div class="head">
        <h2 id="pages-title">Most edited pages</h2>
        <span class="note" id="order-note">{hold ? "order held while you read" : `last ${windowWords[window]}`}</span>
      </div>
      {none ? (
        <p class="empty">{reasonForNone(data, chip, window)}</p>
      ) : (
        <table>
          <thead>
            <tr>
              <th scope="col" class="rank">#</th>
              <th scope="col" class="title">Title</th>
              <th scope="col" class="edits">Edits</th>
              <th scope="col" class="links">See</th>
            </tr>
          </thead>
          {data === null ? (
            <Skeleton />
          ) : (
            <tbody id="pages">
              {pages.map((page, i) => (
                <Row key={i} page={page} rank={i + 1} top={top} by={order.current.move(page)} />
              ))}
            </tbody>
          )}
        </table>
      )}
    </section>
  );
}
