-- Clients for `serving.py`: images in turn to POST /predict, as wrk sends them, the next as soon as the last is answered.
-- Arguments: the folder of the images, how many (00.jpg, 01.jpg, …), and 1 to send them as forms.

local images, sent = {}, 0

function init(args)
  for number = 0, tonumber(args[2]) - 1 do
    local file = assert(io.open(string.format("%s/%02d.jpg", args[1], number), "rb"))
    local body = file:read("*a")
    file:close()
    local kind = "application/octet-stream"
    if args[3] == "1" then
      kind = "multipart/form-data; boundary=edge"
      body = '--edge\r\nContent-Disposition: form-data; name="content"; filename="a.jpg"\r\n\r\n' .. body .. "\r\n--edge--\r\n"
    end
    images[number] = wrk.format("POST", "/predict", { ["Content-Type"] = kind }, body)
  end
end

function request()
  sent = sent + 1
  return images[sent % (#images + 1)]
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '{"answered": %d, "refused": %d, "lost": %d, "seconds": %f, "p95_ms": %f}\n',
    summary.requests - errors.status, errors.status, errors.connect + errors.read + errors.write + errors.timeout,
    summary.duration / 1e6, latency:percentile(95) / 1e3
  ))
end
