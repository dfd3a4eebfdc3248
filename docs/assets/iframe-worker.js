// Browsers start no workers from files, and the search runs in one. Where the site is opened from a
// folder, a hidden frame takes a worker's place: the same script, the same messages. These are
// copies, and arrive after what sent them is done, as a worker's do.
if (location.protocol === "file:") {
  const load = (inside, file) =>
    new Promise((done, failed) => {
      const script = inside.document.createElement("script");
      Object.assign(script, { src: file, onload: done, onerror: failed });
      inside.document.body.append(script);
    });
  window.Worker = class extends EventTarget {
    constructor(address) {
      super();
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      this.ready = new Promise((done, failed) => {
        this.frame.onload = () => {
          const inside = this.frame.contentWindow;
          inside.postMessage = (given) => {
            const event = new MessageEvent("message", { data: structuredClone(given) });
            setTimeout(() => {
              this.dispatchEvent(event);
              this.onmessage?.(event);
            });
          };
          load(inside, String(new URL(address, document.baseURI))).then(() => done(inside), failed);
        };
      });
      this.ready.catch((fault) => this.onerror?.(fault));
      document.body.append(this.frame);
    }
    postMessage(given) {
      const data = structuredClone(given);
      this.ready.then((inside) =>
        setTimeout(() => inside.dispatchEvent(new inside.MessageEvent("message", { data }))));
    }
    terminate() {
      this.frame.remove();
    }
  };
}
