// Usage: node tus.mjs ENDPOINT FILE NAME STATE upload|break|resume|terminate
//
// upload sends a file and repeats what fails. break ends the process in the middle, when the
// file STATE.halted exists, and keeps the URL of the upload in the file STATE, where resume finds
// it. terminate begins an upload, and takes it back when STATE.halted exists. Each prints the offset at which it began to send, and the URL.
import { createReadStream, existsSync } from "node:fs";
import tus from "tus-js-client";

const [endpoint, file, name, state, action] = process.argv.slice(2);
let began;

function run() {
  return new Promise((resolve, reject) => {
    const upload = new tus.Upload(createReadStream(file), {
      endpoint,
      uploadSize: null,
      metadata: { filename: name, filetype: "video/mp4", team: "a" },
      retryDelays: [0, 100, 500, 1000, 1000, 1000],
      urlStorage: new tus.FileUrlStorage(state),
      fingerprint: async () => name,
      removeFingerprintOnSuccess: true,
      onBeforeRequest: (request) => {
        if (request.getMethod() === "PATCH") began ??= request.getHeader("Upload-Offset");
      },
      onSuccess: () => resolve(upload.url),
      onError: reject,
    });
    const breakOff = async () => {
      if (action === "break") {
        console.log(began, upload.url);
        process.exit(0);
      }
      await upload.abort(true);
      resolve(upload.url);
    };
    if (action === "break" || action === "terminate") {
      const watch = setInterval(() => {
        if (!existsSync(state + ".halted")) return;
        clearInterval(watch);
        breakOff().catch(reject);
      }, 10);
    }
    upload.findPreviousUploads().then((previous) => {
      if (previous.length > 0) upload.resumeFromPreviousUpload(previous[0]);
      if (action === "resume" && previous.length === 0) reject(new Error("no upload to resume"));
      else upload.start();
    }, reject);
  });
}

const url = await run();
console.log(began, url);
