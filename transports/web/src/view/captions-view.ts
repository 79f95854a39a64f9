import type { Caption } from "../captions";
import { formatMs, type Latency } from "../latency";
import { byId, make, setText } from "./dom";
import { turnDetails } from "./waterfall-view";

const WHO: Record<Caption["role"], string> = { user: "You", agent: "Agent", notice: "Notice" };

interface Row {
  readonly item: HTMLLIElement;
  readonly said: HTMLElement;
  readonly unsaid: HTMLElement;
  readonly cut: HTMLElement;
  /** How much of the caption has been handed to the screen reader. */
  announced: string;
  cutAnnounced: boolean;
}

/** Draws captions, keeps the newest in sight, and has whole ones read out. */
export class CaptionsView {
  private readonly list = byId<HTMLOListElement>("captions");
  private readonly scroll = byId("scroll");
  private readonly announcer = byId("announcer");
  private readonly rows = new Map<number, Row>();

  clear(): void {
    this.list.replaceChildren();
    this.announcer.replaceChildren();
    this.rows.clear();
    byId("hint").hidden = false;
  }

  show(caption: Caption): void {
    const follow = this.isAtEnd();
    const row = this.rows.get(caption.id) ?? this.addRow(caption);
    row.item.dataset.final = String(caption.final);
    row.item.dataset.cutOff = String(caption.cutOff);
    setText(row.said, caption.cutOff ? `${caption.text} …`.trim() : caption.text);
    setText(row.unsaid, caption.remaining && ` ${caption.remaining}`);
    row.cut.hidden = !caption.cutOff;
    if (caption.latency && !row.item.querySelector(".latency")) row.item.append(latencyDetails(caption.latency));
    this.announce(caption, row);
    if (follow) this.scroll.scrollTop = this.scroll.scrollHeight;
  }

  private addRow(caption: Caption): Row {
    const item = make("li");
    item.dataset.role = caption.role;
    const said = make("span", "said");
    const unsaid = make("span", "unsaid");
    const cut = make("span", "cut", "interrupted");
    const words = make("p", "words");
    words.append(said, unsaid, " ", cut);
    item.append(make("span", "who", WHO[caption.role]), words);
    this.list.append(item);
    byId("hint").hidden = true;
    const row = { item, said, unsaid, cut, announced: "", cutAnnounced: false };
    this.rows.set(caption.id, row);
    return row;
  }

  private announce(caption: Caption, row: Row): void {
    const text = caption.text || caption.remaining;
    if (!caption.final || text === row.announced || row.cutAnnounced) return;
    row.cutAnnounced = caption.cutOff;
    // An answer may pause between sentences: then only what is new is read out.
    const fresh = text.startsWith(row.announced) ? text.slice(row.announced.length) : text;
    row.announced = text;
    const suffix = caption.cutOff ? " (interrupted)" : "";
    this.announcer.append(make("p", "", `${WHO[caption.role]}: ${fresh.trim()}${suffix}`));
    if (this.announcer.childElementCount > 20) this.announcer.firstElementChild?.remove();
  }

  /** Someone who has scrolled up to read is left there. */
  private isAtEnd(): boolean {
    const { scrollTop, clientHeight, scrollHeight } = this.scroll;
    return scrollHeight - scrollTop - clientHeight < 48;
  }
}

function latencyDetails(latency: Latency): HTMLElement {
  const details = make("details", "latency");
  details.append(make("summary", "", `answered in ${formatMs(latency.voice_to_voice_ms)}`), turnDetails(latency));
  return details;
}
