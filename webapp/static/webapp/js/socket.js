// Keeps a copy of the live state fresh: subscribe, fetch what was missed, then apply deltas. When the socket is
// lost: back-off with jitter, and polling at a pace that follows how much happens.

import { hasEnded, merge } from "./state.js";

const FIRST_WAIT = 500; // ms before the first reconnection; doubles up to:
const LONGEST_WAIT = 30_000;
const FASTEST_POLL = 2_000;
const SLOWEST_POLL = 30_000;
const ANSWER_WITHIN = 15_000;
// The channel layer does not tell when the broker was away, so an open socket may have missed the last news.
const ASK_ANYWAY = 30_000;
// Codes of webapp/experiments/consumers.py that no new attempt can cure.
const REFUSALS = { 4401: "signed out", 4403: "no longer allowed", 4404: "gone" };

export class LiveConnection {
  /** `onState(state)` after each change; `onSign({sign, retryAt, why})` when the state of the connection changes. */
  constructor({ state, liveUrl, socketPath, onState, onSign }) {
    Object.assign(this, { state, liveUrl, socketPath, onState, onSign });
    this.paused = false;
    this.attempt = 0;
    this.pollWait = FASTEST_POLL;
    this.fetching = null;
    this.waiting = []; // deltas that came while a catch-up was under way
  }

  start() {
    this.connect();
    addEventListener("online", () => this.retryNow());
    document.addEventListener("visibilitychange", () => { if (!document.hidden) this.retryNow(); });
  }

  connect() {
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(`${scheme}//${location.host}${this.socketPath}`);
    this.socket = socket;
    socket.addEventListener("message", (event) => this.received(JSON.parse(event.data)));
    socket.addEventListener("close", (event) => this.closed(event.code));
  }

  /** The server listens for us from here on: what we fetch now and what it sends next leave no gap. */
  subscribed() {
    this.attempt = 0;
    clearTimeout(this.pollTimer);
    clearInterval(this.askTimer);
    this.askTimer = setInterval(() => { if (!this.paused && !document.hidden) this.catchUp(); }, ASK_ANYWAY);
    this.sign("live");
    this.catchUp();
  }

  received(message) {
    if (message.type === "ready") this.subscribed();
    else if (this.paused) return;
    else if (message.type === "refetch") this.catchUp();
    else if (this.fetching) this.waiting.push(message.state);
    else this.apply(message.state);
  }

  closed(code) {
    clearInterval(this.askTimer);
    if (REFUSALS[code]) {
      this.stopped = true;
      this.sign("refused", { why: REFUSALS[code] });
      return;
    }
    const wait = Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** this.attempt) * (0.5 + Math.random());
    this.attempt += 1;
    this.sign("reconnecting", { retryAt: Date.now() + wait });
    clearTimeout(this.reconnectTimer);
    this.reconnectTimer = setTimeout(() => this.connect(), wait);
    if (this.attempt >= 2) this.poll();
  }

  retryNow() {
    if (this.stopped || !this.socket || this.socket.readyState !== WebSocket.CLOSED) return;
    clearTimeout(this.reconnectTimer);
    this.connect();
  }

  /** One catch-up at a time; resolves to true when something new came. */
  catchUp() {
    this.fetching ||= this.fetchChanges().finally(() => {
      this.fetching = null;
      for (const delta of this.waiting.splice(0)) this.apply(delta);
    });
    return this.fetching;
  }

  async fetchChanges() {
    try {
      const answer = await fetch(`${this.liveUrl}?after=${this.state.seq}`, {
        headers: { Accept: "application/json" }, redirect: "error", signal: AbortSignal.timeout(ANSWER_WITHIN),
      });
      if (!answer.ok) return false;
      const before = this.state.seq;
      this.apply(await answer.json());
      return this.state.seq > before;
    } catch {
      return false; // the socket or the next poll tries again
    }
  }

  apply(delta) {
    const merged = merge(this.state, delta);
    if (merged === null) {
      this.catchUp();
      return;
    }
    this.state = merged;
    this.onState(merged);
  }

  async poll() {
    clearTimeout(this.pollTimer);
    if (!this.paused && !document.hidden) {
      const news = await this.catchUp();
      this.pollWait = news ? FASTEST_POLL : Math.min(SLOWEST_POLL, this.pollWait * 1.5);
    }
    if (this.socket.readyState === WebSocket.OPEN || this.stopped) return;
    this.pollTimer = setTimeout(() => this.poll(), hasEnded(this.state) ? SLOWEST_POLL : this.pollWait);
  }

  pause(paused) {
    this.paused = paused;
    if (!paused) this.catchUp();
    this.sign(paused ? "paused" : this.socket.readyState === WebSocket.OPEN ? "live" : "reconnecting");
  }

  sign(sign, more = {}) {
    if (this.paused && sign !== "refused") sign = "paused";
    this.onSign({ sign, ...more });
  }
}
