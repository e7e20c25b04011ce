// What this extension uses of the browsers' interface, so that `tsc` checks it without a package of types.
export interface Picture {
  readonly id: string;
  readonly frameId: number;
  readonly kind: "picture" | "background" | "canvas" | "drawing" | "poster";
  /** Empty for what has none. */
  readonly address: string;
  readonly width: number;
  readonly height: number;
  /** null: nothing is written there. */
  readonly alt: string | null;
  /** Why it is not described; empty where it can be. */
  readonly fault: string;
  /** Only the page can read it. */
  readonly inPage: boolean;
}

/** `text`, or why there is none; fatal: there will be none for other pictures either. */
export interface Description {
  readonly text?: string;
  readonly why?: string;
  readonly fatal?: boolean;
}

interface Event<Listener> {
  addListener(listener: Listener): void;
}
interface Tab {
  readonly id?: number;
  readonly active: boolean;
}
type Target = { tabId: number; allFrames?: boolean; frameIds?: number[] };
type Answer = (answer: unknown) => void;

declare global {
  namespace chrome {
    const action: {
      setBadgeText(of: { tabId: number; text: string }): Promise<void>;
      setTitle(of: { tabId: number; title: string }): Promise<void>;
      onClicked: Event<(tab: Tab) => void>;
    };
    const contextMenus: {
      create(item: { id: string; title: string; contexts: string[] }): void;
      onClicked: Event<(info: { srcUrl?: string; frameId?: number }, tab?: Tab) => void>;
    };
    /** Chromium's. */
    const offscreen:
      | undefined
      | {
          hasDocument(): Promise<boolean>;
          createDocument(of: {
            url: string;
            reasons: string[];
            justification: string;
          }): Promise<void>;
        };
    const runtime: {
      getURL(path: string): string;
      openOptionsPage(): Promise<void>;
      // biome-ignore lint/suspicious/noExplicitAny: of any form
      sendMessage(message: object): Promise<any>;
      onInstalled: Event<() => void>;
      // biome-ignore lint/suspicious/noExplicitAny: of any form
      onMessage: Event<(message: any, sender: unknown, respond: Answer) => boolean>;
    };
    const scripting: {
      executeScript<Args extends unknown[], Result>(
        of: { target: Target } & (
          | { files: string[] }
          | { func: (...args: Args) => Result; args: Args }
        ),
      ): Promise<{ frameId: number; result: Awaited<Result> }[]>;
    };
    /** Chromium's. */
    const sidePanel:
      | undefined
      | { setPanelBehavior(of: { openPanelOnActionClick: boolean }): Promise<void> };
    /** Firefox's. */
    const sidebarAction: { toggle(): Promise<void> };
    const storage: {
      local: {
        get(key: string): Promise<{ [key: string]: string | undefined }>;
        set(values: object): Promise<void>;
      };
    };
    const tabs: {
      query(of: object): Promise<Tab[]>;
      onActivated: Event<() => void>;
      onUpdated: Event<(id: number, change: { status?: string }, tab: Tab) => void>;
    };
  }
  var browser: typeof chrome | undefined;
  // biome-ignore lint/suspicious/noExplicitAny: what pictures.js leaves in a page
  var altText: any;
  var altTextTimer: ReturnType<typeof setTimeout> | undefined;
}
