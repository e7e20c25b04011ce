// The camera: on only while its dialog is open.
import { element } from "./element.js";

const REFUSALS: Readonly<Record<string, string>> = {
  NotAllowedError: "The camera was refused; the browser's site settings allow it again.",
  NotFoundError: "No camera was found.",
  NotReadableError: "The camera is in use by another program.",
};

function photograph(video: HTMLVideoElement): Promise<Blob> {
  const canvas = document.createElement("canvas");
  canvas.width = video.videoWidth;
  canvas.height = video.videoHeight;
  canvas.getContext("2d")?.drawImage(video, 0, 0);
  return new Promise((resolve, reject) => {
    canvas.toBlob((blob) => (blob === null ? reject(new Error("no picture")) : resolve(blob)));
  });
}

/** Shows the button where the browser has cameras (https or this machine). */
export function offerCamera(
  onPhoto: (photo: Blob) => void,
  onProblem: (problem: string) => void,
): void {
  const open = element("camera", HTMLButtonElement);
  const dialog = element("viewfinder", HTMLDialogElement);
  const video = element("video", HTMLVideoElement);
  const shoot = element("shoot", HTMLButtonElement);
  let stream: MediaStream | undefined;

  const stop = (): void => {
    for (const track of stream?.getTracks() ?? []) {
      track.stop();
    }
    stream = undefined;
    video.srcObject = null;
    shoot.disabled = true;
  };

  const start = async (): Promise<void> => {
    dialog.showModal();
    try {
      // The camera that looks away from the user, where there are two.
      const found = await navigator.mediaDevices.getUserMedia({
        video: { facingMode: "environment" },
      });
      stream = found;
      if (!dialog.open) {
        stop(); // closed while the browser asked
        return;
      }
      video.srcObject = found;
      await video.play();
      shoot.disabled = false;
      shoot.focus();
    } catch (error) {
      if (dialog.open) {
        const { name, message } = error as Error;
        onProblem(REFUSALS[name] ?? `The camera does not work: ${message}`);
        dialog.close();
      }
    }
  };

  open.hidden = typeof navigator.mediaDevices?.getUserMedia !== "function";
  open.addEventListener("click", () => void start());
  shoot.addEventListener("click", () => {
    void photograph(video)
      .then(onPhoto, () => onProblem("The camera gave no picture."))
      .finally(() => dialog.close());
  });
  element("close", HTMLButtonElement).addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", stop); // Escape, too
  addEventListener("pagehide", stop);
}
