// Usage: node tus.mjs ENDPOINT FILE NAME STATE upload|break|resume|terminate
//
// upload sends a file and repeats what fails. break ends the process in the middle, and keeps
// the URL of the upload in the file STATE, where resume finds it. terminate begins an upload
// and takes it back. Each prints the offset at which it began to send, and the URL.
import { createReadStream } from "node:fs";
import tus from "tus-js-client";

const [endpoint, file, name, state, action] = process.argv.slice(2);
const half = 3 << 20; // bytes, a part of the test's file
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
      onProgress: async (sent) => {
        if (sent < half) return;
        if (action === "break") {
          console.log(began, upload.url);
          process.exit(0);
        }
        if (action === "terminate") {
          await upload.abort(true);
          resolve(upload.url);
        }
      },
      onSuccess: () => resolve(upload.url),
      onError: reject,
    });
    upload.findPreviousUploads().then((previous) => {
      if (previous.length > 0) upload.resumeFromPreviousUpload(previous[0]);
      if (action === "resume" && previous.length === 0) reject(new Error("no upload to resume"));
      else upload.start();
    }, reject);
  });
}

const url = await run();
console.log(began, url);
