// Uploads with tus-js-client as an app does, and prints one line of JSON: what
// happened. Arguments: endpoint, Authorization, scenario.
import * as tus from 'tus-js-client'
import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const [endpoint, authorization, scenario] = process.argv.slice(2)
const size = 3_000_000
const file = Buffer.alloc(size)
for (let i = 0, x = 1; i < size; i++) {
  x = (Math.imul(x, 1103515245) + 12345) >>> 0
  file[i] = x >>> 24
}
const common = {
  endpoint,
  headers: { Authorization: authorization },
  metadata: { bucket: 'films', filename: `${scenario}.mp4`, filetype: 'video/mp4' },
  retryDelays: [100, 300, 1000],
  chunkSize: 250_000,
}

/** run uploads all of it, and says at which offsets requests began. */
function run(options, onUpload = () => {}) {
  return new Promise((resolve, reject) => {
    const offsets = []
    const statuses = []
    const upload = new tus.Upload(options.file ?? file, {
      ...common,
      ...options,
      onBeforeRequest: async (req) => {
        await options.onBeforeRequest?.(req)
        if (req.getMethod() === 'PATCH') offsets.push(Number(req.getHeader('Upload-Offset')))
      },
      onAfterResponse: (req, res) => statuses.push(`${req.getMethod()} ${res.getStatus()}`),
      onError: (error) => reject(error),
      onSuccess: ({ lastResponse }) => resolve({ offsets, statuses, object: lastResponse.getHeader('X-Meridian-Object'), url: upload.url }),
    })
    onUpload(upload)
    upload.start()
  })
}

const scenarios = {
  // Stops twice in mid-file and goes on.
  async pause() {
    let pauses = 0
    let current
    return run(
      {
        onChunkComplete: async (_, accepted) => {
          if (pauses < 2 && accepted > (pauses + 1) * 800_000) {
            pauses++
            await current.abort()
            setTimeout(() => current.start(), 50)
          }
        },
      },
      (upload) => (current = upload),
    ).then((result) => ({ ...result, pauses }))
  },

  // Forgets everything but the URL, as a page does that is loaded again.
  async resume() {
    const dir = mkdtempSync(join(tmpdir(), 'tus-'))
    try {
      const urlStorage = new tus.FileUrlStorage(join(dir, 'urls'))
      const fingerprint = async () => 'the same file'
      let first
      await new Promise((resolve, reject) => {
        first = new tus.Upload(file, {
          ...common, urlStorage, fingerprint, onError: reject,
          onChunkComplete: async (_, accepted) => {
            if (accepted >= 1_000_000) resolve(await first.abort())
          },
        })
        first.start()
      })
      const found = await urlStorage.findUploadsByFingerprint('the same file')
      const result = await run({ urlStorage, fingerprint, uploadUrl: found[0].uploadUrl })
      return { ...result, same: result.url === first.url }
    } finally {
      rmSync(dir, { recursive: true })
    }
  },

  // Says a wrong offset once; the server refuses, and the client asks and goes on.
  async offset() {
    let lied = false
    return run({
      onBeforeRequest: (req) => {
        if (req.getMethod() === 'PATCH' && Number(req.getHeader('Upload-Offset')) >= 500_000 && !lied) {
          lied = true
          req.setHeader('Upload-Offset', '499999')
        }
      },
    })
  },

  // Sends a checksum with each request, one of them wrong: 460 is an error to
  // the client, which starts again from what the server has.
  async checksum() {
    let lied = false
    const options = {
      onBeforeRequest: (req) => {
        if (req.getMethod() !== 'PATCH') return
        const from = Number(req.getHeader('Upload-Offset'))
        const body = file.subarray(from, Math.min(from + common.chunkSize, size))
        let sum = createHash('sha1').update(body).digest('base64')
        if (from >= 1_000_000 && !lied) {
          lied = true
          sum = createHash('sha1').update('something else').digest('base64')
        }
        req.setHeader('Upload-Checksum', `sha1 ${sum}`)
      },
    }
    let url
    let refused
    try {
      await run(options, (upload) => (upload.options.onUploadUrlAvailable = () => (url = upload.url)))
    } catch (error) {
      refused = error.originalResponse?.getStatus()
    }
    return { ...(await run({ ...options, uploadUrl: url })), refused }
  },

  // Does not know how long the file is until it has read it.
  async stream() {
    const { Readable } = await import('node:stream')
    return run({ file: Readable.from([file.subarray(0, 1_100_000), file.subarray(1_100_000)]), uploadLengthDeferred: true })
  },

  // Gives up, and takes back what it has sent.
  async terminate() {
    let upload
    await new Promise((resolve, reject) => {
      upload = new tus.Upload(file, { ...common, onError: reject, onChunkComplete: () => resolve() })
      upload.start()
    })
    const { url } = upload
    await upload.abort(true)
    return { url }
  },
}

console.log(JSON.stringify(await scenarios[scenario]()))
