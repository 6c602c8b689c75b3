// Numbers as people read them.

/** 75 as 1:15, 3675 as 1:01:15. */
export function clock(seconds) {
  const whole = Math.floor(seconds);
  const two = (value) => String(value).padStart(2, "0");
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  return hours ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
}

/** 75 as "1 minute 15 seconds", for what is read aloud. */
export function spokenTime(seconds) {
  const whole = Math.floor(seconds);
  const parts = [
    [Math.floor(whole / 3600), "hour"], [Math.floor(whole / 60) % 60, "minute"], [whole % 60, "second"],
  ].filter(([value]) => value);
  return parts.map(([value, unit]) => count(value, unit)).join(" ") || "0 seconds";
}

export function bytes(size) {
  const units = ["bytes", "kB", "MB", "GB"];
  const unit = Math.min(Math.floor(Math.log10(Math.max(size, 1)) / 3), units.length - 1);
  const value = size / 1000 ** unit;
  return `${unit && value < 10 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

export const percent = (share) => `${Math.floor(100 * share)} %`;

export const count = (number, noun) => `${number} ${noun}${number === 1 ? "" : "s"}`;

const moment = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
export const day = (iso) => moment.format(new Date(iso));
