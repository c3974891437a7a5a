/** The icons: 24-unit strokes in the colour of the text, drawn for this project, hidden from screen readers. */
import type { ReactNode } from "react";

function icon(shape: ReactNode) {
  return function Icon({ size = 16 }: { size?: number }) {
    return (
      <svg
        width={size}
        height={size}
        viewBox="0 0 24 24"
        fill="none"
        stroke="currentColor"
        strokeWidth={1.8}
        strokeLinecap="round"
        strokeLinejoin="round"
        aria-hidden
        focusable="false"
      >
        {shape}
      </svg>
    );
  };
}

export const IconDrop = icon(
  <>
    <path d="M12 3.2c4 4.6 6.6 7.9 6.6 11.3a6.6 6.6 0 0 1-13.2 0C5.400 11.100 8 7.800 12 3.200Z" />
    <circle cx="12" cy="14.8" r="2.4" fill="currentColor" stroke="none" />
  </>,
);
export const IconRuns = icon(<path d="M4 6h.01M8.500 6H20M4 12h.01M8.500 12H20M4 18h.01M8.500 18H20" />);
export const IconData = icon(
  <>
    <ellipse cx="12" cy="5.800" rx="7.500" ry="2.800" />
    <path d="M4.500 5.800v12.400c0 1.500 3.400 2.800 7.500 2.800s7.500-1.300 7.500-2.800V5.800M4.500 12c0 1.500 3.400 2.800 7.500 2.800s7.500-1.300 7.500-2.800" />
  </>,
);
export const IconTeacher = icon(
  <>
    <path d="M2.500 9 12 4.500 21.500 9 12 13.500Z" />
    <path d="M6.500 11v5c1.500 1.700 3.300 2.500 5.500 2.500s4-.8 5.500-2.500v-5M21.500 9v5.500" />
  </>,
);
export const IconSettings = icon(
  <>
    <path d="M4 7h9M18.500 7H20M4 17h2.500M12 17h8" />
    <circle cx="15.800" cy="7" r="2.500" />
    <circle cx="9.200" cy="17" r="2.500" />
  </>,
);
export const IconSun = icon(
  <>
    <circle cx="12" cy="12" r="4" />
    <path d="M12 2.500v2M12 19.500v2M2.500 12h2M19.500 12h2M5.300 5.300l1.400 1.400M17.300 17.300l1.400 1.400M5.300 18.700l1.400-1.400M17.300 6.700l1.400-1.400" />
  </>,
);
export const IconMoon = icon(<path d="M20 14.200A8.300 8.300 0 0 1 9.800 4 8.300 8.300 0 1 0 20 14.200Z" />);
export const IconSearch = icon(
  <>
    <circle cx="11" cy="11" r="6.500" />
    <path d="m16 16 4.500 4.500" />
  </>,
);
export const IconPlay = icon(<path d="M8 5.200v13.600L19 12Z" fill="currentColor" />);
export const IconStop = icon(<rect x="6.500" y="6.500" width="11" height="11" rx="1.500" fill="currentColor" />);
export const IconResume = icon(<path d="M4.500 12a7.500 7.500 0 1 1 2.300 5.400M4.500 18.500v-4.200h4.200" />);
export const IconTrash = icon(<path d="M4.500 7h15M9.500 7V4.500h5V7M6.500 7l.9 12.500h9.200L17.500 7M10.200 11v5M13.800 11v5" />);
export const IconPlus = icon(<path d="M12 5v14M5 12h14" />);
export const IconCheck = icon(<path d="m5 12.500 4.500 4.500L19 7.500" />);
export const IconCross = icon(<path d="m6.500 6.500 11 11M17.500 6.500l-11 11" />);
export const IconWarn = icon(<path d="M12 4 2.800 19.500h18.400ZM12 10v4.500M12 17.200v.1" />);
export const IconInfo = icon(
  <>
    <circle cx="12" cy="12" r="8.500" />
    <path d="M12 11v5M12 8v.1" />
  </>,
);
export const IconLock = icon(
  <>
    <rect x="5.500" y="10.500" width="13" height="9.500" rx="2" />
    <path d="M8.500 10.500V8a3.500 3.500 0 0 1 7 0v2.500" />
  </>,
);
export const IconUpload = icon(<path d="M12 15.500V4.500M7.500 8.500 12 4l4.500 4.500M4.500 15v4.500h15V15" />);
export const IconDownload = icon(<path d="M12 4v11M7.500 11 12 15.500 16.500 11M4.500 19.500h15" />);
export const IconCopy = icon(
  <>
    <rect x="8.500" y="8.500" width="11" height="11" rx="2" />
    <path d="M15.500 5.500a1 1 0 0 0-1-1h-9a1 1 0 0 0-1 1v9a1 1 0 0 0 1 1" />
  </>,
);
export const IconMore = icon(<path d="M6 12h.01M12 12h.01M18 12h.01" strokeWidth={2.6} />);
export const IconExpand = icon(<path d="M14 4.500h5.500V10M10 19.500H4.500V14M19 5l-6 6M5 19l6-6" />);
export const IconCollapse = icon(<path d="M13 5v6h6M11 19v-6H5M13.500 10.500 20 4M10.500 13.500 4 20" />);
export const IconTable = icon(
  <>
    <rect x="4" y="5" width="16" height="14" rx="1.500" />
    <path d="M4 10h16M10 10v9" />
  </>,
);
export const IconChevron = icon(<path d="m8 10 4 4 4-4" />);
export const IconRight = icon(<path d="m10 7 5 5-5 5" />);
export const IconKeyboard = icon(
  <>
    <rect x="2.500" y="6" width="19" height="12" rx="2" />
    <path d="M6.500 10h.01M10 10h.01M13.500 10h.01M17 10h.01M8 14h8" />
  </>,
);
export const IconClock = icon(
  <>
    <circle cx="12" cy="12" r="8.500" />
    <path d="M12 7.500V12l3 2" />
  </>,
);
export const IconFlag = icon(<path d="M5.500 21V4.500M5.500 5c5-3 8 2.500 13 0v8.500c-5 2.500-8-3-13 0" />);
export const IconCompare = icon(<path d="M9 4.500v15M4.500 8.500 9 4l0 0M15 19.500v-15M19.500 15.500 15 20M4.500 8.500 9 4.500M15 19.500l4.500-4" />);
export const IconFile = icon(<path d="M6 3.500h8l4.500 4.500v12.500h-12.500ZM14 3.500V8h4.500" />);
export const IconTag = icon(<path d="M12.500 4.500H19.500V11.500L11.500 19.500a1.500 1.500 0 0 1-2 0L4.500 14.500a1.500 1.500 0 0 1 0-2ZM15.800 8.200h.01" />);
export const IconChat = icon(<path d="M5 5h14a1.500 1.500 0 0 1 1.500 1.500v8.500a1.500 1.500 0 0 1-1.500 1.500h-7.500L7 20v-3.500H5A1.500 1.500 0 0 1 3.500 15V6.500A1.500 1.500 0 0 1 5 5ZM8 9.500h8M8 12.500h5" />);
export const IconCoins = icon(
  <>
    <ellipse cx="9" cy="7.500" rx="5.500" ry="2.500" />
    <path d="M3.500 7.500v4c0 1.400 2.500 2.500 5.500 2.500M3.500 11.500v4c0 1.400 2.500 2.500 5.500 2.500" />
    <ellipse cx="15" cy="14" rx="5.500" ry="2.500" />
    <path d="M9.500 14v4c0 1.400 2.500 2.500 5.500 2.500s5.500-1.100 5.500-2.500v-4" />
  </>,
);
