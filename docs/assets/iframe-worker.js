// Lets the search work when the site is opened as files: a browser starts no worker from a
// `file:` address, so an invisible frame runs the worker's script instead.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      const frame = document.createElement("iframe");
      frame.hidden = true;
      document.documentElement.appendChild(frame);
      this.scope = frame.contentWindow;
      this.ready = new Promise((resolve, reject) => {
        const answer = (data) => this.dispatchEvent(new MessageEvent("message", { data }));
        // Scripts that a worker imports, one after the other.
        this.scope.importScripts = (...urls) => urls.reduce(
          (before, each) => before.then(() => this.load(each)), Promise.resolve());
        this.scope.postMessage = answer;
        this.load(url).then(resolve, reject);
      });
    }
    load(url) {
      return new Promise((resolve, reject) => {
        const script = this.scope.document.createElement("script");
        script.src = new URL(url, location.href);
        script.onload = resolve;
        script.onerror = reject;
        this.scope.document.body.appendChild(script);
      });
    }
    postMessage(data) {
      this.ready.then(() => this.scope.dispatchEvent(new MessageEvent("message", { data })));
    }
    terminate() { this.scope.frameElement.remove(); }
  };
}
