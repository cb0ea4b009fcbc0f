// Search runs in a worker, and browsers start no worker from a page that was opened from the disk. There, and only there, this
// class takes the worker's place: it runs the same script in a hidden frame.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      const frame = document.createElement("iframe");
      frame.hidden = true;
      (document.body || document.documentElement).appendChild(frame);
      const inner = frame.contentWindow;
      this.ready = new Promise((resolve) => {
        window.addEventListener("message", (event) => {
          if (event.source !== inner) return;
          if (event.data === "iframe-worker-ready") resolve();
          else this.dispatchEvent(new MessageEvent("message", { data: event.data }));
        });
      });
      inner.document.open();
      inner.document.write(`<body><script>
        postMessage = parent.postMessage.bind(parent);
        importScripts = async (...urls) => {
          for (const url of urls) await new Promise((resolve) => {
            const script = document.createElement("script");
            script.src = url; script.onload = resolve;
            document.body.appendChild(script);
          });
        };
      <\/script><script src="${url}"><\/script><script>parent.postMessage("iframe-worker-ready", "*")<\/script>`);
      inner.document.close();
      this.inner = inner;
    }
    postMessage(message) {
      this.ready.then(() => this.inner.dispatchEvent(new MessageEvent("message", { data: message, source: window })));
    }
    terminate() {}
  };
}
