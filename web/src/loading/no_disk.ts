// disk.ts in browsers, where pages read no files.
import type { Fetch } from "./fetch.js";

export const DISK_PROTOCOLS: readonly string[] = [];

export const addressOf = (url: string | URL): string | URL => url;

export const fetchAnything: Fetch = (url, init) => fetch(url, init);
